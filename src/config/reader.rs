//! Walks a parsed TOML document along the table of settings and records every fault on the way.
//!
//! Refuses to give up at a fault: a bad value is recorded and its default stands in, because the
//! caller throws the result away when there was any.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Findings, Wrong, nearest};
use super::kind::{Kind, Label, a_type};
use super::schema::{Form, NAME, Section, Shape, header, join};

/// Reads one table of the document.
pub(super) struct Reader<'a, 't> {
    findings: &'a mut Findings,
    root: &'a Shape,
    /// `None` for a table that is not written.
    table: Option<&'t DeTable<'t>>,
    /// Byte offset of the table's header, where a missing setting is told.
    offset: usize,
    path: String,
}

/// Reads the whole document.
pub(super) fn read_document<S: Section>(document: &Spanned<DeTable<'_>>, findings: &mut Findings) -> S {
    let template = S::template();
    let root = template.shape();
    let mut reader = Reader { findings, root: &root, table: Some(document.get_ref()), offset: 0, path: String::new() };
    reader.check_keys(&root);
    S::read(template, &mut reader)
}

impl<'t> Reader<'_, 't> {
    /// Reads a setting that has a default.
    pub(super) fn optional<K: Kind>(&mut self, key: &'static str, kind: &K, default: K::Value) -> K::Value {
        match self.lookup(key) {
            Some(value) => self.value(key, value, kind).unwrap_or(default),
            None => default,
        }
    }

    /// Reads a setting that must be written; `example` is shown if it is not.
    pub(super) fn required<K: Kind>(&mut self, key: &'static str, kind: &K, example: K::Value) -> K::Value {
        match self.lookup(key) {
            Some(value) => self.value(key, value, kind).unwrap_or(example),
            None => {
                let reason = format!("required setting is missing; write for example {key} = {}", kind.show(&example));
                self.findings.fault(self.offset, &join(&self.path, key), Wrong::new(reason));
                example
            }
        }
    }

    /// Reads the table `[key]`, which may be absent.
    pub(super) fn table<S: Section>(&mut self, key: &'static str, template: S) -> S {
        let path = join(&self.path, key);
        let Some(value) = self.lookup(key) else {
            return S::read(template, &mut self.below(path, None, self.offset));
        };
        match value.get_ref() {
            DeValue::Table(table) => self.section(path, table, value.span().start, template),
            other => {
                let reason = format!("expected a table, {}, found {}", header(&path, Form::Single), a_type(other));
                self.findings.fault(value.span().start, &path, Wrong::new(reason));
                template
            }
        }
    }

    /// Reads the tables `[[key]]`, of which there may be none.
    pub(super) fn list<S: Section>(&mut self, key: &'static str) -> Vec<S> {
        let path = join(&self.path, key);
        let Some(value) = self.lookup(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = value.get_ref() else {
            let list = header(&path, Form::List);
            let reason = match value.get_ref() {
                DeValue::Table(_) => format!("there may be several: write {list} instead of [{path}]"),
                other => format!("expected tables, {list}, found {}", a_type(other)),
            };
            self.findings.fault(value.span().start, &path, Wrong::new(reason));
            return Vec::new();
        };
        let mut sections = Vec::with_capacity(array.len());
        for (index, element) in array.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match element.get_ref() {
                DeValue::Table(table) => {
                    sections.push(self.section(path, table, element.span().start, S::template()));
                }
                other => {
                    let reason = format!("expected a table, found {}", a_type(other));
                    self.findings.fault(element.span().start, &path, Wrong::new(reason));
                    // Keeps the position of an element in the list that of its path.
                    sections.push(S::template());
                }
            }
        }
        sections
    }

    /// Reads the tables `[key.NAME]`, of which there may be none.
    pub(super) fn map<S: Section>(&mut self, key: &'static str) -> BTreeMap<String, S> {
        let path = join(&self.path, key);
        let Some(value) = self.lookup(key) else {
            return BTreeMap::new();
        };
        let named = header(&join(&path, NAME), Form::Named);
        let DeValue::Table(table) = value.get_ref() else {
            let reason = match value.get_ref() {
                DeValue::Array(_) => format!("each has a name: write {named} instead of {}", header(&path, Form::List)),
                other => format!("expected tables, {named}, found {}", a_type(other)),
            };
            self.findings.fault(value.span().start, &path, Wrong::new(reason));
            return BTreeMap::new();
        };
        let mut sections = BTreeMap::new();
        for (key, value) in table {
            let (name, path) = (key.get_ref().as_ref(), join(&path, key.get_ref()));
            if let Err(reason) = Label::check(name) {
                self.findings.fault(key.span().start, &path, Wrong::new(reason));
            }
            let section = match value.get_ref() {
                DeValue::Table(table) => self.section(path, table, value.span().start, S::template()),
                other => {
                    let reason = format!("expected a table, {named}, found {}", a_type(other));
                    self.findings.fault(value.span().start, &path, Wrong::new(reason));
                    // Whoever names it is not told a second time.
                    S::template()
                }
            };
            sections.insert(name.to_owned(), section);
        }
        sections
    }

    fn section<S: Section>(&mut self, path: String, table: &'t DeTable<'t>, offset: usize, template: S) -> S {
        self.findings.place(&path, offset);
        let shape = template.shape();
        let mut reader = self.below(path, Some(table), offset);
        reader.check_keys(&shape);
        S::read(template, &mut reader)
    }

    fn below(&mut self, path: String, table: Option<&'t DeTable<'t>>, offset: usize) -> Reader<'_, 't> {
        Reader { findings: self.findings, root: self.root, table, offset, path }
    }

    fn lookup(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table?.get(key)
    }

    fn value<K: Kind>(&mut self, key: &str, value: &Spanned<DeValue<'_>>, kind: &K) -> Option<K::Value> {
        let path = join(&self.path, key);
        let offset = value.span().start;
        self.findings.place(&path, offset);
        let wrongs = match kind.read(value.get_ref()) {
            Ok(read) => {
                self.place_elements(&path, value.get_ref());
                return Some(read);
            }
            Err(wrongs) => wrongs,
        };
        for wrong in wrongs {
            match &wrong.part {
                Some((part, offset)) => self.findings.fault(*offset, &format!("{path}{part}"), wrong),
                None => self.findings.fault(offset, &path, wrong),
            }
        }
        None
    }

    /// Rules between settings speak of the elements of a list as well.
    fn place_elements(&mut self, path: &str, value: &DeValue<'_>) {
        for (index, element) in value.as_array().into_iter().flatten().enumerate() {
            self.findings.place(&format!("{path}[{index}]"), element.span().start);
        }
    }

    fn check_keys(&mut self, shape: &Shape) {
        let Some(table) = self.table else { return };
        for key in table.keys() {
            let word = key.get_ref().as_ref();
            if !shape.keys().any(|known| known == word) {
                let wrong = self.unknown(word, shape);
                self.findings.fault(key.span().start, &join(&self.path, word), wrong);
            }
        }
    }

    /// A key that is right elsewhere is told where; a slip of the fingers, what was meant; anything
    /// else, what there is.
    fn unknown(&self, word: &str, shape: &Shape) -> Wrong {
        let mut homes = self.root.homes_of(word);
        if self.root.settings.iter().any(|setting| setting.key == word) {
            homes.push("belongs at the top of the file, above the first [table]".to_owned());
        }
        // Of two homes the one in the same table is meant.
        let table = format!("[{}.", self.path.split(['.', '[']).next().unwrap_or_default());
        if homes.iter().any(|home| home.contains(&table)) {
            homes.retain(|home| home.contains(&table));
        }
        if !homes.is_empty() {
            return Wrong::new(format!("unknown setting here; it {}", homes.join(" or ")));
        }
        match nearest(word, shape.keys()) {
            Some(nearest) => Wrong { nearest: Some(nearest), ..Wrong::new("unknown setting") },
            None => {
                let known: Vec<_> = shape.keys().collect();
                Wrong::new(format!("unknown setting; the settings here are {}", known.join(", ")))
            }
        }
    }
}
