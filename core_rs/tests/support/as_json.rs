//! Parts of an answer as a JSON library has them. A module of its own, for the tests that use that library: where it is
//! in scope, numbers compare with its values too, and the types of others could not be inferred.

use serde_json::{Value, json};

use crate::support::messages::{Balance, RoleCount};

/// The JSON of a count; one that is absent has zeros.
pub fn count_json(count: Option<RoleCount>) -> Value {
    let count = count.unwrap_or_default();
    json!({"sessions": count.sessions, "users": count.users})
}

/// The JSON of a balance.
pub fn balance_json(balance: &Balance) -> Value {
    json!({
        "included": count_json(balance.included),
        "converting": count_json(balance.converting),
        "dropping_off": count_json(balance.dropping_off),
        "both": count_json(balance.both),
        "converting_without_views": count_json(balance.converting_without_views),
        "dropping_off_without_views": count_json(balance.dropping_off_without_views),
    })
}
