//! All that is wrong with the shape of a JSON body, by the description of the API: the reader of a body names only the
//! first fault, and a person wants to correct everything at once.

use crate::openapi::schemas;
use kiban_service::ItemFault;
use serde_json::Value;
use std::sync::OnceLock;

/// Faults told at most.
const MOST: usize = 100;

fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(schemas)
}

/// Every fault of shape of a body that should fit this schema. No value is repeated.
pub(crate) fn faults(name: &str, bytes: &[u8]) -> Vec<ItemFault> {
    let mut faults = Vec::new();
    if let (Some(schema), Ok(value)) = (document().get(name), serde_json::from_slice::<Value>(bytes)) {
        look(schema, &value, "", &mut faults);
    }
    faults.truncate(MOST);
    faults
}

fn look(schema: &Value, value: &Value, at: &str, faults: &mut Vec<ItemFault>) {
    let mut fault = |item: &str, text: &str| {
        faults.push(ItemFault::new(if item.is_empty() { "body" } else { item }, text));
    };
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return if let Some(schema) = document().get(name) {
            look(schema, value, at, faults)
        };
    }
    if !has_type(&schema["type"], value) {
        return fault(at, "値の型が違います。文字・数・真偽の別を確かめてください");
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        return fault(at, "使えない値です。決められた値のどれかにしてください");
    }
    if let Some(object) = value.as_object() {
        let place = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(name) {
                fault(&place(name), "必須の項目です。入力してください");
            }
        }
        for (name, value) in object {
            match schema["properties"].get(name) {
                Some(schema) => look(schema, value, &place(name), faults),
                None if schema["additionalProperties"] == false => {
                    let text = "この名前の項目はありません。項目名を確かめてください";
                    faults.push(ItemFault::new(place(name), text));
                }
                None => {}
            }
        }
    }
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        look(&schema["items"], item, &format!("{at}[{i}]"), faults);
    }
}

fn has_type(wanted: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    };
    match wanted {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_shape_is_named_and_no_value_repeated() {
        let body = r#"{ "insurer_number": 990010, "sekai": "秘密", "birth": "1941-05-03", "sex": "f" }"#;
        let found = faults("Registration", body.as_bytes());
        let mut items: Vec<_> = found.iter().map(|fault| fault.item.as_str()).collect();
        items.sort_unstable();
        assert_eq!(items, ["insured_number", "insurer_number", "kana", "sekai", "sex"]);
        assert!(found.iter().all(|fault| !fault.message.contains("秘密")));
        assert!(faults("Registration", b"{").is_empty(), "the reader tells where JSON is broken");
    }
}
