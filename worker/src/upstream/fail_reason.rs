//! Why a task failed: reads the field that a dialect has for it.

use super::json::{Fields, Json};

/// Fields that speak only of a failure; the family's own come first.
const PLAIN: [&str; 12] = [
    "failReason",
    "fail_reason",
    "failureReason",
    "failure_reason",
    "failMsg",
    "fail_msg",
    "errorMessage",
    "error_message",
    "errorMsg",
    "error_msg",
    "errMsg",
    "err_msg",
];

/// Fields that hold the reason of a failed task, but may mean anything in other tasks.
const LIKELY: [&str; 6] = ["error", "errors", "reason", "message", "msg", "detail"];

/// The reason from a field that means nothing else.
pub(super) fn plain(fields: &Fields<'_>) -> Option<String> {
    PLAIN.iter().find_map(|name| words(fields.get(name)?))
}

/// The reason of a failed task, from a field that may mean something else in other tasks.
pub(super) fn likely(fields: &Fields<'_>) -> Option<String> {
    LIKELY.iter().find_map(|name| words(fields.get(name)?))
}

/// The words of a string, an object, or the first of an array.
fn words(json: Json<'_>) -> Option<String> {
    let first = json.items().map_or(Some(json), |items| items.first().copied())?;
    let text = |json: Json<'_>| json.string().map(|text| text.trim().to_owned()).filter(|text| !says_nothing(text));
    match first.fields() {
        Some(fields) => ["message", "msg", "description", "detail", "reason", "raw_message"]
            .iter()
            .find_map(|name| text(fields.get(name)?)),
        None => text(first),
    }
}

/// Whether the text is what some write if nothing failed, or if an exchange went well.
fn says_nothing(text: &str) -> bool {
    let none = [
        "",
        "null",
        "none",
        "nil",
        "undefined",
        "n/a",
        "-",
        "0",
        "ok",
        "success",
        "succeeded",
        "successful",
        "成功",
        "操作成功",
        "请求成功",
        "查询成功",
        "提交成功",
        "submit success",
    ];
    none.iter().any(|none| text.eq_ignore_ascii_case(none))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(json: &str) -> String {
        let fields = Json::read(json).unwrap().fields().unwrap();
        plain(&fields).or_else(|| likely(&fields)).unwrap_or_default()
    }

    #[test]
    fn the_reason_is_found_under_each_of_its_names() {
        for name in [
            "failReason",
            "fail_reason",
            "error",
            "error_message",
            "errorMessage",
            "errMsg",
            "err_msg",
            "error_msg",
            "reason",
            "fail_msg",
            "failMsg",
            "failure_reason",
            "message",
            "msg",
            "detail",
        ] {
            assert_eq!(reason(&format!(r#"{{"{name}":"[Banned prompt detected] x"}}"#)), "[Banned prompt detected] x");
        }
    }

    #[test]
    fn the_field_that_means_nothing_else_comes_first() {
        for (json, wanted) in [
            (r#"{"message":"m","failReason":"f"}"#, "f"),
            (r#"{"failReason":"","error":{"message":"m"}}"#, "m"),
            (r#"{"failReason":{"code":1,"message":"m"}}"#, "m"),
            (r#"{"errors":[{"msg":"m"},{"msg":"n"}]}"#, "m"),
            (r#"{"errors":["m"]}"#, "m"),
            (r#"{"error":{"code":10000,"raw_message":"raw","message":""}}"#, "raw"),
            (r#"{"error":{"code":0,"raw_message":"","message":""},"message":"success"}"#, ""),
            (r#"{"failReason":null,"description":"Submit success"}"#, ""),
            (r#"{"failReason":"任务超时","description":"Submit success"}"#, "任务超时"),
            (r#"{"failReason":7,"message":"ok"}"#, ""),
            (r#"{"errors":[],"detail":{}}"#, ""),
        ] {
            assert_eq!(reason(json), wanted, "{json}");
        }
    }
}
