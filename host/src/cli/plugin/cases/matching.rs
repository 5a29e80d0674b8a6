//! Whether a value is what was expected, as far as that was written. Members that are not named
//! may be there as well; a list has the same items in the same order; anything else is equal.

use serde_json::Value;

/// Each difference with its place.
pub fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut told = Vec::new();
    look("", expected, found, &mut told);
    told
}

fn look(at: &str, expected: &Value, found: &Value, told: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(wanted), Value::Object(members)) => {
            for (name, wanted) in wanted {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                match members.get(name) {
                    Some(member) => look(&at, wanted, member, told),
                    None => told.push(format!("{at}: expected {wanted}, and it is not there")),
                }
            }
        }
        (Value::Array(wanted), Value::Array(items)) => {
            for (index, wanted) in wanted.iter().enumerate() {
                match items.get(index) {
                    Some(item) => look(&format!("{at}/{index}"), wanted, item, told),
                    None => told.push(format!("{at}/{index}: expected {wanted}, and it is not there")),
                }
            }
            for (index, item) in items.iter().enumerate().skip(wanted.len()) {
                told.push(format!("{at}/{index}: nothing was expected, found {item}"));
            }
        }
        (wanted, found) if equal(wanted, found) => {}
        (wanted, found) => {
            let place = if at.is_empty() { "the output" } else { at };
            told.push(format!("{place}: expected {wanted}, found {found}"));
        }
    }
}

/// 1 and 1.0 are the same number.
fn equal(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(_), Some(_)) if one.is_u64() == other.is_u64() => one == other,
        (Some(one), Some(other)) => one.total_cmp(&other).is_eq(),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_written_may_be_there_as_well() {
        assert!(
            differences(&json!({"a": [{"b": 1}]}), &json!({"a": [{"b": 1.0, "c": 2}], "d": 3})).is_empty()
        );
        assert_eq!(
            differences(&json!({"a/b": {"c": "x"}, "d": 1}), &json!({"a/b": {"c": "y"}})),
            ["/a~1b/c: expected \"x\", found \"y\"", "/d: expected 1, and it is not there"]
        );
        assert_eq!(differences(&json!([1]), &json!([1, 2])), ["/1: nothing was expected, found 2"]);
        assert_eq!(differences(&json!([1, 2]), &json!([1])), ["/1: expected 2, and it is not there"]);
        assert_eq!(differences(&json!("a"), &json!(null)), ["the output: expected \"a\", found null"]);
    }
}
