//! Refusals name rule, key and reason; the schema and the parser know the same keys and values.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

fn schema() -> Value {
    serde_json::from_str(include_str!("../schema.json")).unwrap()
}

fn refused(configuration: &Value) -> Option<String> {
    rules(configuration.to_string().as_bytes()).err()
}

#[test]
fn the_examples_of_the_schema_are_read() {
    for example in schema()["examples"].as_array().unwrap() {
        assert_eq!(refused(example), None);
        assert!(fits(&schema(), &schema(), example));
    }
}

#[test]
fn schema_and_parser_know_the_same_keys() {
    let schema = schema();
    for (at, keys) in [
        ("", TOP_KEYS),
        ("/$defs/rule", RULE_KEYS),
        ("/$defs/when", WHEN_KEYS),
        ("/$defs/when/properties/header", HEADER_KEYS),
        ("/$defs/action", ACTION_KEYS),
        ("/$defs/action/properties/replace", REPLACE_KEYS),
    ] {
        let object = schema.pointer(at).unwrap();
        let known: BTreeSet<_> = object["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(known, keys.iter().copied().collect(), "{at}");
        assert_eq!(object["additionalProperties"], json!(false), "{at}");
    }
}

/// As much of JSON Schema as `schema.json` uses.
fn fits(schema: &Value, at: &Value, value: &Value) -> bool {
    if let Some(name) = at["$ref"].as_str() {
        return fits(schema, schema.pointer(name.trim_start_matches('#')).unwrap(), value);
    }
    if let Some(choices) = at["anyOf"].as_array() {
        return choices.iter().any(|choice| fits(schema, choice, value));
    }
    if let Some(values) = at["enum"].as_array() {
        return values.contains(value);
    }
    let least = |key: &str| at[key].as_u64().unwrap_or(0) as usize;
    match at["type"].as_str().unwrap() {
        "string" => value.as_str().is_some_and(|text| {
            let pattern = at["pattern"].as_str().unwrap_or("");
            text.len() >= least("minLength") && Regex::new(pattern).unwrap().is_match(text.as_bytes())
        }),
        "integer" => value.as_u64().is_some_and(|number| (100..=599).contains(&number)),
        "array" => value.as_array().is_some_and(|list| {
            list.len() >= least("minItems") && list.iter().all(|item| fits(schema, &at["items"], item))
        }),
        "object" => value.as_object().is_some_and(|object| {
            let required = at["required"].as_array().cloned().unwrap_or_default();
            let rest = &at["additionalProperties"];
            required.iter().all(|key| object.contains_key(key.as_str().unwrap()))
                && object.len() >= least("minProperties")
                && at["maxProperties"].as_u64().is_none_or(|most| object.len() as u64 <= most)
                && object
                    .keys()
                    .all(|key| at["propertyNames"].is_null() || fits(schema, &at["propertyNames"], &json!(key)))
                && object.iter().all(|(key, item)| match &at["properties"][key] {
                    Value::Null => *rest != json!(false) && fits(schema, rest, item),
                    known => fits(schema, known, item),
                })
        }),
        other => panic!("schema.json uses {other}, this check does not know it"),
    }
}

#[test]
fn schema_and_parser_agree_on_every_value_at_every_key() {
    let schema = schema();
    let values = [
        json!(null),
        json!(true),
        json!(200),
        json!(99),
        json!("4xx"),
        json!("9xx"),
        json!(""),
        json!("request"),
        json!("response"),
        json!("/a"),
        json!("x-a"),
        json!("x a"),
        json!([]),
        json!(["GET"]),
        json!([""]),
        json!([1]),
        json!([200, "5xx"]),
        json!({}),
        json!({"x-a": "b"}),
        json!({"x-a": 1}),
        json!({"name": "x-a"}),
        json!({"name": "x-a", "matches": "b"}),
        json!({"name": "x-a", "pattern": "b", "with": "c"}),
        json!({"name": "x-a", "pattern": "b"}),
        json!([{"remove": ["x-a"]}]),
        json!([{}]),
        json!({"remove": "x-a"}),
        json!([{"remove": "x-a", "set": {}}]),
        json!({"nope": 1}),
    ];
    let rule = |when: Value, action: Value| json!({"rules": [{"on": "response", "when": when, "do": [action]}]});
    let remove = json!({"remove": "x-a"});
    let mut checked = 0;
    for value in &values {
        let mut cases = vec![
            value.clone(),
            json!({"rules": value}),
            json!({"rules": [value]}),
            json!({"rules": [{"on": value, "do": [remove]}]}),
            json!({"rules": [{"on": "response", "when": value, "do": [remove]}]}),
            json!({"rules": [{"on": "response", "do": value}]}),
            rule(json!({}), value.clone()),
            json!({"rules": [], "more": value}),
        ];
        cases.extend(WHEN_KEYS.iter().map(|key| rule(json!({*key: value}), remove.clone())));
        cases.extend(ACTION_KEYS.iter().map(|key| rule(json!({}), json!({*key: value}))));
        for case in cases {
            assert_eq!(fits(&schema, &schema, &case), refused(&case).is_none(), "{case}: {:?}", refused(&case));
            checked += 1;
        }
    }
    assert!(checked > 300, "{checked}");
}

#[test]
fn refusals_name_rule_key_and_reason() {
    let remove = json!({"remove": "x-a"});
    for (rule, expected) in [
        (json!({"on": "both", "do": []}), "rule 2, `on`: must be \"request\" or \"response\""),
        (json!({"on": "request", "do": []}), "rule 2, `do`: does nothing"),
        (json!({"on": "request", "do": [{"set": {}}]}), "rule 2, `do[1].set`: must be a table of names and values"),
        (
            json!({"on": "request", "do": [remove, {"sett": {}}]}),
            "rule 2, `do[2].sett`: unknown key; known are set, append",
        ),
        (json!({"on": "request", "if": {}, "do": []}), "rule 2, `if`: unknown key; known are on, when, do"),
        (
            json!({"on": "request", "when": {"status": 200}, "do": [remove]}),
            "rule 2, `when.status`: a request has no status",
        ),
        (
            json!({"on": "response", "when": {"status": "9xx"}, "do": [remove]}),
            "rule 2, `when.status`: \"9xx\" is neither",
        ),
        (
            json!({"on": "request", "do": [{"set": {"x-a": "${nope}"}}]}),
            "rule 2, `do[1].set.x-a`: unknown variable `${nope}`",
        ),
        (json!({"on": "request", "do": [{"set": {"x-a": "a\r\nb: c"}}]}), "rule 2, `do[1].set.x-a`: holds a control"),
        (
            json!({"on": "request", "do": [{"set": {"x-a\n": ""}}]}),
            "rule 2, `do[1].set.x-a\n`: \"x-a\\n\" is no header name",
        ),
        (
            json!({"on": "request", "do": [{"set": {":path": "/"}}]}),
            "rule 2, `do[1].set.:path`: \":path\" is no header name",
        ),
        (json!({"on": "request", "do": [{"remove": "Host"}]}), "rule 2, `do[1].remove`: belongs to the connection"),
        (
            json!({"on": "request", "do": [{"rename": {"x-a": "te"}}]}),
            "rule 2, `do[1].rename.x-a`: belongs to the connection",
        ),
        (
            json!({"on": "request", "do": [{"replace": {"name": "x", "pattern": "(", "with": ""}}]}),
            "rule 2, `do[1].replace.pattern`: regex parse error",
        ),
        (
            json!({"on": "request", "do": [{"replace": {"name": "x", "pattern": "(a)\\1", "with": ""}}]}),
            "rule 2, `do[1].replace.pattern`: regex parse error",
        ),
        (
            json!({"on": "request", "do": [{"replace": {"name": "x", "pattern": "a", "with": "$1"}}]}),
            "rule 2, `do[1].replace.with`: `${1}`: there is no group 1",
        ),
        (
            json!({"on": "request", "do": [{"replace": {"name": "x", "pattern": "((a{100}){100}){100}", "with": ""}}]}),
            "rule 2, `do[1].replace.pattern`: Compiled regex exceeds size limit",
        ),
    ] {
        let good = json!({"on": "request", "do": [remove]});
        let reason = refused(&json!({"rules": [good, rule]})).unwrap();
        assert!(reason.starts_with(expected), "{reason}");
        assert!(!reason.contains('\n') || rule.to_string().contains("\\n"), "{reason}");
    }
    assert!(rules(b"").unwrap_err().starts_with("configuration is no JSON: "));
}
