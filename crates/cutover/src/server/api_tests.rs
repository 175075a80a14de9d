//! The document of the API beside its routes: each is in the other. What a route does is not tried here.

use std::collections::BTreeSet;

use serde_json::Value;

use super::DOCUMENT;

/// Method and path of all routes, as they stand in the source of the router.
fn routes() -> BTreeSet<(String, String)> {
    let source = include_str!("api.rs");
    let mut routes = BTreeSet::new();
    for route in source.split(".route(").skip(1) {
        let (path, rest) = route.trim_start().strip_prefix('"').unwrap().split_once('"').unwrap();
        let end = rest.find(".route(").unwrap_or(rest.len());
        let end = rest.find(".with_state").unwrap_or(end).min(end);
        for method in ["get", "post", "put", "delete", "patch"] {
            let calls = [format!(" {method}("), format!(".{method}("), format!("\n{method}(")];
            if calls.iter().any(|call| rest[..end].contains(call)) {
                routes.insert((method.to_owned(), path.to_owned()));
            }
        }
    }
    routes
}

fn documented() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let methods = |(path, item): (&String, &Value)| {
        let methods: Vec<_> = item.as_object().unwrap().keys().cloned().collect();
        methods.into_iter().map(|method| (method, path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(methods).collect()
}

#[test]
fn every_route_is_in_the_document_and_every_path_of_the_document_is_a_route() {
    let (routes, documented) = (routes(), documented());
    assert!(routes.len() >= 12, "the routes were not found: {routes:?}");
    let missing: Vec<_> = routes.difference(&documented).collect();
    assert!(
        missing.is_empty(),
        "these routes of server/api.rs are not in docs/openapi.json: {missing:?}; describe each there under \
         `paths`, with its answers under `components/schemas`, and ask for it in tests/e2e/api.rs"
    );
    let gone: Vec<_> = documented.difference(&routes).collect();
    assert!(
        gone.is_empty(),
        "these paths of docs/openapi.json are no routes of server/api.rs: {gone:?}; remove them there"
    );
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|inner| references(inner, found));
            }
            Value::Array(array) => array.iter().for_each(|inner| references(inner, found)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        let reference = format!("#/components/schemas/{name}");
        assert!(found.contains(reference.as_str()), "nothing refers to {name}");
    }
}
