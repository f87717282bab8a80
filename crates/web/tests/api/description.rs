//! The description of the API: committed, complete, and true. Every answer in these tests is held to it
//! ([`conform`], called by the world for each request).

use crate::world::Reply;
use axum::http::Method;
use kiban_policy::SharingTable;
use kiban_web::{Listener, ROUTES, codes, openapi};
use serde_json::Value;
use std::sync::OnceLock;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/kiban-v1.json");

fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(openapi::document)
}

#[test]
fn the_committed_description_is_the_generated_one() {
    let generated = serde_json::to_string_pretty(document()).unwrap() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(COMMITTED, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(
        committed == generated,
        "openapi/kiban-v1.json is old; run with UPDATE_OPENAPI=1 and review the difference"
    );
}

/// Table of the routes in docs/api.md, between its two marks.
#[test]
fn the_guide_lists_every_route() {
    const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md");
    let (begin, end) = ("<!-- routes: begin -->\n", "<!-- routes: end -->");
    let guide = std::fs::read_to_string(GUIDE).unwrap();
    let (before, rest) = guide.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let mut table = String::from("| 待受け | メソッドとパス | できること | だれのため |\n|---|---|---|---|\n");
    for route in ROUTES {
        let listener = match route.listener {
            Listener::Public => "公開",
            Listener::ClosedLine => "医療機関の閉域網",
            Listener::Organisations => "事業所向け",
        };
        let who = route.audience.name_ja();
        table += &format!("| {listener} | `{} {}` | {} | {who} |\n", route.method, route.path, route.summary);
    }
    let guide = format!("{before}{begin}{table}{end}{after}");
    let (begin, end) = ("<!-- codes: begin -->\n", "<!-- codes: end -->");
    let (before, rest) = guide.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let expected = format!("{before}{begin}{}{end}{after}", table_of_codes());
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(GUIDE, &expected).unwrap();
    }
    assert!(std::fs::read_to_string(GUIDE).unwrap() == expected, "docs/api.md is old; run with UPDATE_OPENAPI=1");
}

fn table_of_codes() -> String {
    let mut table = String::from("| 状態 | code | 意味 |\n|---|---|---|\n");
    for code in codes::CODES.iter().filter(|code| code.status < 403) {
        table += &format!("| {} | `{}` | {} |\n", code.status, code.code, code.meaning);
    }
    let rules = SharingTable::at("2026-11-22".parse().unwrap()).unwrap();
    for rule in codes::refusing() {
        let reason = rules.reason(rule);
        table += &format!("| 403 | `{}` | {}（{}） |\n", rule.code(), reason.reason, reason.requirement);
    }
    for code in codes::CODES.iter().filter(|code| code.status > 403) {
        table += &format!("| {} | `{}` | {} |\n", code.status, code.code, code.meaning);
    }
    table
}

/// Every code in the sources of the platform is in the list; answers are held to it by [`conform`].
#[test]
fn every_code_of_a_problem_is_in_the_list() {
    let (web, service) = ("/src", "/../service/src");
    let mut found = 0;
    for folder in [web, service] {
        let mut folders = vec![std::path::PathBuf::from(format!("{}{folder}", env!("CARGO_MANIFEST_DIR")))];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") {
                    for code in codes_in(&std::fs::read_to_string(&path).unwrap()) {
                        found += 1;
                        let listed = codes::CODES.iter().any(|one| one.code == code);
                        assert!(listed, "{code} in {} is not in codes.rs", path.display());
                    }
                }
            }
        }
    }
    assert!(found > 30, "only {found} codes found: is the reader of sources out of date?");
}

/// What stands behind `StatusCode::NAME,` or in `…nauthenticated("…")`.
fn codes_in(source: &str) -> Vec<String> {
    let quoted = |rest: &str| rest.trim_start().strip_prefix('"')?.split('"').next().map(str::to_owned);
    let behind_status = source.split("StatusCode::").skip(1).filter_map(|rest| quoted(rest.split_once(',')?.1));
    let of_log_in = source.split("nauthenticated(").skip(1).filter_map(quoted);
    let is_code = |text: &String| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    behind_status.chain(of_log_in).filter(is_code).collect()
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let paths = document()["paths"].as_object().unwrap();
    let mut described: Vec<(String, String)> = Vec::new();
    for (path, methods) in paths {
        described.extend(methods.as_object().unwrap().keys().map(|method| (path.clone(), method.to_uppercase())));
    }
    let mut served: Vec<_> = ROUTES.iter().map(|route| (route.path.to_owned(), route.method.to_string())).collect();
    served.sort();
    served.dedup();
    described.sort();
    assert_eq!(described, served);
}

/// No operation answers with whatever it likes: each status is listed, and only those that what it takes makes possible.
#[test]
fn every_operation_lists_the_statuses_of_its_refusals() {
    let statuses = |path: &str, method: &str| -> Vec<String> {
        document()["paths"][path][method]["responses"].as_object().unwrap().keys().cloned().collect()
    };
    for (path, methods) in document()["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let listed = statuses(path, method);
            assert!(!listed.contains(&"default".to_owned()), "{method} {path}: {listed:?}");
            assert!(listed.iter().any(|status| status.starts_with('2')), "{method} {path}: {listed:?}");
        }
    }
    assert_eq!(
        statuses("/api/v1/people/{handle}", "get"),
        ["200", "304", "401", "403", "404", "421", "429", "500", "503"]
    );
    let send = statuses("/api/v1/slips", "post");
    assert_eq!(
        send,
        ["200", "201", "400", "401", "403", "404", "408", "409", "413", "415", "421", "422", "429", "500", "503"]
    );
}

#[test]
fn every_reference_leads_somewhere() {
    let text = document().to_string();
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(document().pointer(pointer).is_some(), "{pointer}");
    }
    assert!(text.contains("\"Problem\""));
}

/// Panics unless the answer is one the description promises.
pub fn conform(method: &Method, path: &str, reply: &Reply) {
    let media = reply.headers.get("content-type").map_or("", |value| value.to_str().unwrap());
    let media = media.split(';').next().unwrap();
    if is_page(path) || (media == "text/html" && !path.starts_with("/api/") && !reply.status.is_success()) {
        return;
    }
    if reply.status == axum::http::StatusCode::NOT_MODIFIED {
        let operation = operation(method, path).unwrap_or_else(|| panic!("{method} {path} is not described"));
        assert!(operation["responses"]["304"].is_object() && reply.body.is_empty(), "{method} {path}");
        return assert!(reply.headers.contains_key("etag"));
    }
    if !reply.status.is_success() {
        let status = reply.status.as_u16();
        assert!(codes::is_listed(status, &reply.code()), "{method} {path}: {status} {}", reply.code());
        // A method that a listener does not have is no operation there.
        if let Some(operation) = operation(method, path).filter(|_| status != 405) {
            let is_described = operation["responses"][status.to_string()].is_object();
            assert!(is_described, "{method} {path}: {status} {} is not described", reply.code());
        }
        assert_eq!(media, "application/problem+json", "{method} {path}: {}", reply.text());
        return fits(&document()["components"]["schemas"]["Problem"], &reply.json(), "problem");
    }
    let operation = operation(method, path).unwrap_or_else(|| panic!("{method} {path} is not described"));
    let success = &operation["responses"][reply.status.as_str()];
    assert!(success.is_object(), "{method} {path}: {} is not described", reply.status);
    let promises_tag = success["headers"].get("ETag").is_some();
    assert_eq!(promises_tag && *method == Method::GET, reply.headers.contains_key("etag"), "{method} {path}");
    match success.get("content").and_then(|content| content.get(media)) {
        Some(content) if media == "application/json" => fits(&content["schema"], &reply.json(), path),
        Some(_) => {}
        None => assert!(success.get("content").is_none() && reply.body.is_empty(), "{method} {path}: {media}"),
    }
}

/// Pages are for people: `pages` tells what they must be like.
fn is_page(path: &str) -> bool {
    let first = |path: &str| path.split('/').nth(1).unwrap_or_default().to_owned();
    path != "/" && kiban_web::PAGES.iter().chain(kiban_web::PERSON_PAGES).any(|page| first(page.path) == first(path))
}

fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next()?;
    let fits = |template: &str| {
        let (a, b): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a == b || a.starts_with('{'))
    };
    let mut paths: Vec<_> = document()["paths"].as_object()?.iter().filter(|(template, _)| fits(template)).collect();
    paths.sort_by_key(|(template, _)| template.matches('{').count());
    paths.iter().find_map(|(_, methods)| methods.get(method.as_str().to_lowercase()))
}

/// The part of JSON Schema the description uses.
fn fits(schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        return fits(document().pointer(&reference[1..]).unwrap(), value, at);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(some) => some.iter().map(|one| one.as_str().unwrap()).collect(),
        other => panic!("{at}: type {other}"),
    };
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.contains(&found), "{at}: {found} where {types:?} is promised: {value}");
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{at}: {value} is not one of {allowed:?}");
    }
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        fits(&schema["items"], item, &format!("{at}[{i}]"));
    }
    let Some(object) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(object.contains_key(name.as_str().unwrap()), "{at}: {name} is missing");
    }
    // A document of a kind has the shape of its kind.
    let shapes = &document()["components"]["schemas"]["Document"]["properties"]["content"]["x-kinds"];
    let shape = object.get("kind").and_then(Value::as_str).and_then(|kind| shapes[kind].as_str());
    for content in shape.and(object.get("documents")).and_then(Value::as_array).into_iter().flatten() {
        fits(document().pointer(&shape.unwrap()[1..]).unwrap(), &content["content"], &format!("{at}.content"));
    }
    for (name, value) in object {
        match schema["properties"].get(name) {
            Some(schema) => fits(schema, value, &format!("{at}.{name}")),
            None => assert!(schema["additionalProperties"] != false, "{at}: {name} is not described"),
        }
    }
}
