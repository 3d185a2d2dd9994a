//! The rules themselves, and what running them on one message gives.
//!
//! A message is copied only when the first rule applies to it. It refuses to emit a value with a
//! control character: the field is left out and the problem reported.

use std::borrow::Cow;

use abi::Edit;
use regex::bytes::{Captures, Regex};

use crate::template::{Template, Variable, plain};

/// The message a rule works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// What the user sent.
    Request,
    /// What the backend answered.
    Response,
}

/// What is known of the exchange beside the fields.
pub trait Facts {
    /// A Proxy-Wasm property; the parts of its path are joined by zero bytes.
    fn property(&self, path: &[u8]) -> Option<Vec<u8>>;
}

/// What running the rules gives.
#[derive(Debug, Default)]
pub struct Outcome {
    /// For the host, in order.
    pub edits: Vec<Edit<'static>>,
    /// For the log.
    pub problems: Vec<String>,
}

/// A whole configuration, see [`crate::config::rules`].
#[derive(Clone, Debug, Default)]
pub struct Rules(pub(crate) Vec<Rule>);

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) on: Phase,
    pub(crate) when: When,
    pub(crate) actions: Vec<Action>,
}

/// All that is given must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct When {
    pub(crate) host: Option<Vec<String>>,
    pub(crate) path: Option<String>,
    pub(crate) path_prefix: Option<String>,
    pub(crate) method: Option<Vec<String>>,
    pub(crate) status: Option<Vec<Status>>,
    pub(crate) header: Option<(Vec<u8>, Option<Regex>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Exactly(u16),
    /// The first digit.
    Class(u16),
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    Set(Vec<u8>, Template),
    Append(Vec<u8>, Template),
    Remove(Vec<u8>),
    Rename(Vec<u8>, Vec<u8>),
    Replace(Vec<u8>, Regex, Template),
}

type Field<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// A message under the rules: its fields as they are now, and how they came to be so.
struct Message<'a, F> {
    phase: Phase,
    facts: &'a F,
    fields: Vec<Field<'a>>,
    outcome: Outcome,
}

impl Rules {
    /// Whether any rule is for this phase; if not, the host need not call.
    pub fn concern(&self, phase: Phase) -> bool {
        self.0.iter().any(|rule| rule.on == phase)
    }

    /// Runs the rules of a phase on one message. Names are lower-case.
    pub fn run<'a, F: Facts>(
        &self,
        phase: Phase,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        facts: &'a F,
    ) -> Outcome {
        let mut rules = self.0.iter().enumerate().filter(|(_, rule)| rule.on == phase).peekable();
        if rules.peek().is_none() {
            return Outcome::default();
        }
        let fields = fields.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value))).collect();
        let mut message = Message { phase, facts, fields, outcome: Outcome::default() };
        for (number, rule) in rules {
            if let Some(groups) = message.fits(&rule.when) {
                for action in &rule.actions {
                    message.act(number + 1, action, &groups);
                }
            }
        }
        message.outcome
    }
}

impl<F: Facts> Message<'_, F> {
    fn field(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields.iter().find(|field| *field.0 == *name).map(|field| &*field.1)
    }

    /// A pseudo-header in a request, the property that keeps it in a response.
    fn of_request(&self, pseudo: &[u8], property: &[u8]) -> Cow<'_, [u8]> {
        match self.phase {
            Phase::Request => Cow::Borrowed(self.field(pseudo).unwrap_or_default()),
            Phase::Response => Cow::Owned(self.facts.property(property).unwrap_or_default()),
        }
    }

    /// The groups of the header pattern (none without one), or nothing if the rule does not apply.
    fn fits(&self, when: &When) -> Option<Vec<Vec<u8>>> {
        if let Some(hosts) = &when.host {
            let host = self.of_request(b":authority", b"request\0host");
            if !hosts.iter().any(|pattern| host_fits(pattern.as_bytes(), &host)) {
                return None;
            }
        }
        if when.path.is_some() || when.path_prefix.is_some() {
            let target = self.of_request(b":path", b"request\0path");
            let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
            let exact = when.path.as_ref().is_none_or(|wanted| wanted.as_bytes() == path);
            let below = when.path_prefix.as_ref().is_none_or(|wanted| path.starts_with(wanted.as_bytes()));
            if !exact || !below {
                return None;
            }
        }
        if let Some(methods) = &when.method {
            let method = self.of_request(b":method", b"request\0method");
            if !methods.iter().any(|wanted| wanted.as_bytes() == &*method) {
                return None;
            }
        }
        if let Some(wanted) = &when.status {
            let status = number(self.field(b":status")?)?;
            let fits = |wanted: &Status| match *wanted {
                Status::Exactly(number) => number == status,
                Status::Class(class) => status / 100 == class,
            };
            if !wanted.iter().any(fits) {
                return None;
            }
        }
        match &when.header {
            None => Some(Vec::new()),
            Some((name, regex)) => self.header_groups(name, regex.as_ref()),
        }
    }

    /// Of the first field that matches; a value may come in several fields.
    fn header_groups(&self, name: &[u8], regex: Option<&Regex>) -> Option<Vec<Vec<u8>>> {
        let mut values = self.fields.iter().filter(|field| *field.0 == *name);
        let Some(regex) = regex else { return values.next().map(|_| Vec::new()) };
        let groups = |groups: Captures| {
            groups.iter().map(|group| group.map_or_else(Vec::new, |group| group.as_bytes().to_vec())).collect()
        };
        values.find_map(|field| regex.captures(&field.1).map(groups))
    }

    fn act(&mut self, rule: usize, action: &Action, groups: &[Vec<u8>]) {
        match action {
            Action::Set(name, template) => {
                let value = template.expand(Some(groups), None, |variable| self.variable(variable));
                self.write(rule, name, value, true);
            }
            Action::Append(name, template) => {
                let value = template.expand(Some(groups), None, |variable| self.variable(variable));
                self.write(rule, name, value, false);
            }
            Action::Remove(name) => self.remove(name),
            Action::Rename(old, new) => {
                let values = self.values(old);
                if !values.is_empty() {
                    self.remove(old);
                    self.remove(new);
                    values.into_iter().for_each(|value| self.write(rule, new, value, false));
                }
            }
            Action::Replace(name, regex, template) => self.replace(rule, name, regex, template, groups),
        }
    }

    fn replace(&mut self, rule: usize, name: &[u8], regex: &Regex, template: &Template, groups: &[Vec<u8>]) {
        let before = self.values(name);
        let replaced = |value: &Vec<u8>| {
            let expand =
                |inner: &Captures| template.expand(Some(groups), Some(inner), |variable| self.variable(variable));
            regex.replace_all(value, expand).into_owned()
        };
        let after: Vec<_> = before.iter().map(replaced).collect();
        if after != before {
            self.remove(name);
            after.into_iter().for_each(|value| self.write(rule, name, value, false));
        }
    }

    fn values(&self, name: &[u8]) -> Vec<Vec<u8>> {
        self.fields.iter().filter(|field| *field.0 == *name).map(|field| field.1.to_vec()).collect()
    }

    fn remove(&mut self, name: &[u8]) {
        let count = self.fields.len();
        self.fields.retain(|field| *field.0 != *name);
        if self.fields.len() < count {
            self.outcome.edits.push(Edit::Remove(Cow::Owned(name.to_vec())));
        }
    }

    fn write(&mut self, rule: usize, name: &[u8], value: Vec<u8>, alone: bool) {
        if !plain(&value) {
            let name = String::from_utf8_lossy(name);
            self.outcome.problems.push(format!("rule {rule}: `{name}` not written: its value has a control character"));
            return;
        }
        if alone {
            self.fields.retain(|field| *field.0 != *name);
        }
        self.fields.push((Cow::Owned(name.to_vec()), Cow::Owned(value.clone())));
        let name = Cow::Owned(name.to_vec());
        self.outcome.edits.push(if alone { Edit::Set(name, value) } else { Edit::Add(name, value) });
    }

    fn variable(&self, variable: &Variable) -> Vec<u8> {
        let property = |path: &[u8]| self.facts.property(path).unwrap_or_default();
        match variable {
            Variable::Property(path) => property(path),
            Variable::ClientAddress => address(&property(b"source\0address")).to_vec(),
            Variable::Host => self.of_request(b":authority", b"request\0host").into_owned(),
            Variable::Path => self.of_request(b":path", b"request\0path").into_owned(),
            Variable::Method => self.of_request(b":method", b"request\0method").into_owned(),
            Variable::Header(name) => self.field(name).unwrap_or_default().to_vec(),
            Variable::RequestHeader(name) => match self.phase {
                Phase::Request => self.field(name).unwrap_or_default().to_vec(),
                Phase::Response => property(&[b"request\0headers\0", name.as_slice()].concat()),
            },
            // Filled in by the template itself.
            Variable::Inner(_) | Variable::Outer(_) => Vec::new(),
        }
    }
}

/// `host[:port]` against `host` or `*.suffix`, without case and port.
fn host_fits(pattern: &[u8], authority: &[u8]) -> bool {
    let host = address(authority);
    let Some(suffix) = pattern.strip_prefix(b"*") else { return host.eq_ignore_ascii_case(pattern) };
    let split = host.len().checked_sub(suffix.len()).filter(|&at| at > 0);
    split.and_then(|at| host.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// Without port and brackets.
fn address(authority: &[u8]) -> &[u8] {
    if let Some(inside) = authority.strip_prefix(b"[") {
        return inside.split(|&byte| byte == b']').next().unwrap_or_default();
    }
    let mut colons = authority.iter().enumerate().filter(|(_, byte)| **byte == b':');
    match (colons.next(), colons.next()) {
        (Some((at, _)), None) => authority.split_at(at).0,
        _ => authority,
    }
}

fn number(status: &[u8]) -> Option<u16> {
    std::str::from_utf8(status).ok()?.parse().ok()
}
