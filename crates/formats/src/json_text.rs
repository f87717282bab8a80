//! Every text of a JSON body, wherever it stands: names, values, and of a name that stands twice both values.

use crate::text::holds_individual_number;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Whether a 個人番号 stands anywhere in a JSON body (P-026, P-039): in the bytes as they are, and in any text or number that
/// they mean, however it is escaped. What is no JSON is looked through as bytes only.
pub fn json_holds_individual_number(bytes: &[u8]) -> bool {
    if holds_individual_number(&String::from_utf8_lossy(bytes)) {
        return true;
    }
    let mut found = false;
    // Whatever ends the reading early is for the reader of the body to tell.
    let _ = Look(&mut found).deserialize(&mut serde_json::Deserializer::from_slice(bytes));
    found
}

struct Look<'a>(&'a mut bool);

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        *self.0 |= holds_individual_number(text);
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Look(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_key_seed(Look(&mut *self.0))?.is_some() {
            items.next_value_seed(Look(&mut *self.0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_however_it_is_written_and_wherever_it_stands() {
        for body in [
            r#"{"remarks":"番号 1234-5678-9018 です"}"#,
            r#"{"a":[{"b":"\u0031\u0032\u0033\u0034\u0035\u0036\u0037\u0038\u0039\u0030\u0031\u0038"}]}"#,
            r#"{"a":"\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19\uff10\uff11\uff18","a":"-"}"#,
            r#"{"\u00312345678901\u0038":true}"#,
            r#"[123456789018]"#,
            "123456789018 no JSON",
        ] {
            assert!(json_holds_individual_number(body.as_bytes()), "{body}");
        }
        for body in [r#"{"a":["0001234567",20261122,1.5,null,true,-3]}"#, r#"{"a":"123456789012"}"#, "{", ""] {
            assert!(!json_holds_individual_number(body.as_bytes()), "{body}");
        }
    }
}
