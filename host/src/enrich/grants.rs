//! What a plugin may change, and within what bounds.

use serde_json::Value;

use crate::plugin::grants::{Grants, is_closed, is_variable};
use crate::plugin::size::of_operation;
use crate::plugin::stage::Operation;

/// One value at the most, and all values of a call together.
const VALUE_BYTES: usize = 64 << 10;
const CALL_BYTES: usize = 1 << 20;

/// Refuses the first operation that is not allowed or not well formed.
pub fn check(operations: &[Operation], grants: &Grants) -> Result<(), String> {
    let mut total = 0;
    for operation in operations {
        let size = of_operation(operation);
        total += size;
        if size > VALUE_BYTES {
            return Err(format!("a value of {size} bytes is over the {VALUE_BYTES} that one may have"));
        }
        check_one(operation, grants)?;
    }
    if total > CALL_BYTES {
        return Err(format!("{total} bytes in all are over the {CALL_BYTES} that a call may have"));
    }
    Ok(())
}

fn check_one(operation: &Operation, grants: &Grants) -> Result<(), String> {
    match operation {
        Operation::AddRepo(repo) if repo.url.trim().is_empty() => {
            Err("add-repo: the url is empty".to_owned())
        }
        Operation::AppendInstructions(_)
        | Operation::AppendContext(_)
        | Operation::AddArg(_)
        | Operation::AddRepo(_) => Ok(()),
        Operation::PutMcpServer(name, _) if name.is_empty() => {
            Err("put-mcp-server: the name is empty".to_owned())
        }
        Operation::PutMcpServer(name, text) => match serde_json::from_str(text) {
            Ok(Value::Object(_)) => Ok(()),
            _ => Err(format!("put-mcp-server `{name}`: the value is not a JSON object")),
        },
        Operation::PutEnv(name, text) => {
            if !is_variable(name) {
                return Err(format!("put-env `{name}`: not a name of a variable"));
            }
            if !grants.env.iter().any(|granted| granted == name) {
                return Err(format!("put-env `{name}`: not granted; add it to the plugin's `grants.env`"));
            }
            match serde_json::from_str(text) {
                Ok(Value::String(_)) => Ok(()),
                _ => Err(format!("put-env `{name}`: the value is not a JSON string")),
            }
        }
        Operation::Set(pointer, text) => {
            if is_closed(pointer) {
                return Err(format!("set `{pointer}`: this member is never a plugin's to change"));
            }
            if !grants.write.iter().any(|granted| granted == pointer) {
                return Err(format!("set `{pointer}`: not granted; add it to the plugin's `grants.write`"));
            }
            match serde_json::from_str::<Value>(text) {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("set `{pointer}`: the value is not JSON: {error}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_granted_is_refused_with_the_cure() {
        let env = Operation::PutEnv("TOKEN".to_owned(), "\"v\"".to_owned());
        let refused = check(std::slice::from_ref(&env), &Grants::default());
        assert!(refused.is_err_and(|message| message.contains("grants.env")));
        let granted = Grants { env: vec!["TOKEN".to_owned()], ..Grants::default() };
        assert_eq!(check(&[env], &granted), Ok(()));
    }

    #[test]
    fn some_members_no_grant_opens() {
        for pointer in ["/auth_token", "/workspace_id", "/agent/custom_env/A", "/agent", ""] {
            let grants = Grants { write: vec![pointer.to_owned()], ..Grants::default() };
            assert!(
                check(&[Operation::Set(pointer.to_owned(), "1".to_owned())], &grants).is_err(),
                "{pointer}"
            );
        }
    }

    #[test]
    fn values_must_be_what_they_say() {
        for operation in [
            Operation::PutMcpServer("a".to_owned(), "[]".to_owned()),
            Operation::PutMcpServer(String::new(), "{}".to_owned()),
            Operation::AppendInstructions("x".repeat(VALUE_BYTES + 1)),
        ] {
            assert!(check(&[operation], &Grants::default()).is_err());
        }
    }
}
