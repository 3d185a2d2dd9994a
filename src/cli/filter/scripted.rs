//! Upstreams that answer from a file, so that a filter's calls need no network.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::backend::Target;
use crate::error::{Error, Kind};
use crate::filters::{Outbound, Sending};
use crate::http::{Body, Outgoing, Response};

use super::chunks::whole;
use super::message::{RequestText, ResponseText};

/// What an upstream does when it is called.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Answers so.
    Response(Box<ResponseText>),
    /// Never answers; the filter is told at once what it would be told at its timeout.
    Timeout,
}

/// Upstreams by name. One that is not here cannot be reached.
#[derive(Clone, Default)]
pub(super) struct Script {
    pub(super) answers: BTreeMap<String, Answer>,
    /// The calls that came, with the name of the upstream.
    pub(super) calls: Arc<Mutex<Vec<(String, RequestText)>>>,
}

impl Script {
    /// Reads `NAME=FILE` and `NAME=timeout`.
    pub(super) fn read(arguments: &[String]) -> Result<Self, String> {
        let mut answers = BTreeMap::new();
        for argument in arguments {
            let (name, what) = argument
                .split_once('=')
                .ok_or_else(|| format!("--upstream {argument}: write NAME=FILE.http or NAME=timeout"))?;
            answers.insert(name.to_owned(), answer(what, Path::new(""))?);
        }
        Ok(Self { answers, ..Self::default() })
    }
}

/// `timeout`, or the response in a file relative to `directory`.
pub(super) fn answer(what: &str, directory: &Path) -> Result<Answer, String> {
    if what == "timeout" {
        return Ok(Answer::Timeout);
    }
    let file = directory.join(what);
    let text = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    ResponseText::parse(&text)
        .map(|found| Answer::Response(Box::new(found)))
        .map_err(|error| format!("{}: {error}", file.display()))
}

impl Outbound for Script {
    fn send(&self, name: &str, _target: Arc<Target>, request: Outgoing) -> Sending {
        let (name, answer, calls) = (name.to_owned(), self.answers.get(name).cloned(), self.calls.clone());
        Box::pin(async move {
            let Outgoing { method, target, host, headers, body, .. } = request;
            let (body, trailers) = whole(body).await?;
            let call = RequestText { method, path: target, authority: host, headers, body, trailers };
            if let Ok(mut calls) = calls.lock() {
                calls.push((name, call));
            }
            match answer {
                Some(Answer::Response(response)) => {
                    let ResponseText { status, headers, body, .. } = *response;
                    Ok(Response::new(status, headers, Body::Full(body)))
                }
                Some(Answer::Timeout) => Err(Error::new(Kind::BackendTimeout, "as the script says")),
                None => Err(Error::new(Kind::BackendRefused, "the script has no such upstream")),
            }
        })
    }
}
