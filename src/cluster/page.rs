//! A page of a list. What is nested too deep to be of use is left out: the parser would refuse the
//! whole page because of it, and one strange object would hide all the others.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// So deep values are kept. No manifest comes near it.
const DEPTH: usize = 64;

/// Objects as they came.
pub(super) struct Page {
    pub(super) items: Vec<Value>,
    /// The token of the next page.
    pub(super) next: Option<String>,
}

impl Page {
    pub(super) fn parse(text: &str) -> serde_json::Result<Self> {
        let mut parser = serde_json::Deserializer::from_str(text);
        let mut value = Shallow(DEPTH).deserialize(&mut parser)?;
        parser.end()?;
        let items = value.get_mut("items").map(Value::take);
        let next = value.pointer("/metadata/continue").and_then(Value::as_str);
        Ok(Self {
            next: next.filter(|t| !t.is_empty()).map(str::to_owned),
            items: match items {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            },
        })
    }
}

/// Reads a value with so many levels below it; deeper ones are null.
#[derive(Clone, Copy)]
struct Shallow(usize);

impl Shallow {
    fn below(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl<'de> DeserializeSeed<'de> for Shallow {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shallow {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let Some(below) = self.below() else {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        };
        let mut all = Vec::new();
        while let Some(item) = list.next_element_seed(below)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Some(below) = self.below() else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        };
        let mut all = Map::new();
        while let Some(key) = map.next_key()? {
            all.insert(key, map.next_value_seed(below)?);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_is_nested_too_deep_hides_nothing_else() {
        let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
        let text = format!(
            r#"{{"metadata": {{"continue": "more"}}, "items": [{{"a": {deep}, "b": 2}}, {{"c": {deep}}}, {{"d": 4}}]}}"#
        );
        let page = Page::parse(&text).unwrap();
        assert_eq!(page.next.as_deref(), Some("more"));
        let [first, _, third] = &page.items[..] else {
            panic!("{} items", page.items.len());
        };
        assert_eq!((&first["b"], &third["d"]), (&json!(2), &json!(4)));
    }

    fn json_values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f32>().prop_map(|f| json!(f)),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..6).prop_map(|m| json!(m)),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_not_deep_is_read_as_it_is(item in json_values()) {
            let page = Page::parse(&json!({"items": [item]}).to_string()).unwrap();
            let read: Value = serde_json::from_str(&item.to_string()).unwrap();
            prop_assert_eq!(&page.items[..], &[read]);
        }
    }
}
