//! The picture of a task: finds its address, under the names and at the depths that dialects use.

use url::Url;

use super::json::{Fields, Json};
use crate::lifecycle::Observation;

/// Names that mean only the result. The family's own name is first; one picture precedes many, pictures precede videos.
///
/// TTAPI's `images` are the quarters of its `cdnImage`; `imageDcUrl` is ohmygpt's, `resultUrls` is kie's.
const NAMES: [&str; 24] = [
    "imageUrl",
    "image_url",
    "imageURL",
    "imgUrl",
    "img_url",
    "imageDcUrl",
    "cdnImage",
    "cdn_image",
    "ossImageUrl",
    "oss_image_url",
    "imageUrls",
    "image_urls",
    "resultUrl",
    "result_url",
    "resultUrls",
    "cdnUrl",
    "cdn_url",
    "images",
    "output",
    "videoUrl",
    "video_url",
    "videoUrls",
    "video_urls",
    "results",
];

const VIDEO_NAMES: [&str; 4] = ["videoUrl", "video_url", "videoUrls", "video_urls"];

/// Names that may mean something else, too: only a value that is plainly an address counts.
const DOUBTFUL: [&str; 7] = ["result", "image", "url", "uri", "attachments", "originalImageUrl", "original_image_url"];

/// Fields in which dialects have the picture one level down.
const WITHIN: [&str; 6] = ["result", "output", "task_result", "taskResult", "data", "resultInfoJson"];

/// Finds the result's address in a task object.
pub(super) fn of_task(fields: &Fields<'_>) -> Option<String> {
    let anywhere = |name: &&str| first_url(fields.get(name)?).filter(|url| url.starts_with("http"));
    under_its_own_name(fields).or_else(|| DOUBTFUL.iter().find_map(anywhere))
}

/// Finds the result's address under names that mean only that, also one level down.
pub(super) fn under_its_own_name(fields: &Fields<'_>) -> Option<String> {
    // The other pictures of a video's task are thumbnails.
    let video = || VIDEO_NAMES.iter().find_map(|name| first_url(fields.get(name)?));
    let here = if is_video(fields) { video().or_else(|| picture_in(fields)) } else { picture_in(fields) };
    here.or_else(|| WITHIN.iter().find_map(|name| picture_within(fields.get(name)?)))
}

/// Completes an address that lacks scheme and host: a relay that was never told its own address shows `/mj/image/…`.
pub(super) fn resolve(seen: &mut Observation, base: &Url) {
    match seen {
        Observation::Running(task)
        | Observation::Succeeded(task)
        | Observation::TaskFailed(task, _)
        | Observation::WaitsForInput(task) => {
            if let Some(whole) = Some(&task.image_url).filter(|url| url.starts_with('/')).map(|url| base.join(url)) {
                // If no address results, the text stays as it was shown.
                task.image_url = whole.map_or_else(|_| task.image_url.clone(), String::from);
            }
        }
        Observation::Stranger { seen, .. } => resolve(seen, base),
        _ => {}
    }
}

fn is_video(fields: &Fields<'_>) -> bool {
    fields.string(&["action"]).is_some_and(|action| action.to_uppercase().contains("VIDEO"))
}

fn picture_in(fields: &Fields<'_>) -> Option<String> {
    NAMES.iter().find_map(|name| first_url(fields.get(name)?))
}

fn picture_within(json: Json<'_>) -> Option<String> {
    match json.string() {
        Some(text) => picture_in(&Json::unread(&text).fields()?),
        None => picture_in(&json.fields()?),
    }
}

/// Finds the first address in a string, an object, or an array of them; also if a relay passes those on as a string.
fn first_url(json: Json<'_>) -> Option<String> {
    match json.string().filter(|text| is_json(text)) {
        Some(text) => first_url_in(Json::read(text.trim())?),
        None => first_url_in(json),
    }
}

fn first_url_in(list: Json<'_>) -> Option<String> {
    let urls = list.items().unwrap_or_else(|| vec![list]).into_iter().filter_map(|item| match item.fields() {
        Some(fields) => fields.string(&["url", "imageUrl", "image_url", "resultUrl", "href", "uri"]),
        None => item.string().map(|url| url.trim().to_owned()),
    });
    urls.into_iter().find(|url| !stands_for_no_picture(url))
}

/// Whether the text is a placeholder that some write if there is no picture yet.
fn stands_for_no_picture(url: &str) -> bool {
    let none = ["", "null", "none", "nil", "undefined", "n/a", "-", "false", "true", "0", "pending"];
    let bare = ["http://", "https://"];
    is_json(url) || none.iter().chain(&bare).any(|none| url.eq_ignore_ascii_case(none))
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['[', '{'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::TaskReport;

    fn picture(json: &str) -> String {
        of_task(&Json::read(json).unwrap().fields().unwrap()).unwrap_or_default()
    }

    #[test]
    fn the_picture_is_found_wherever_a_dialect_puts_it() {
        for (json, url) in [
            (r#"{"imageUrl":"a","imageUrls":["b"],"videoUrl":"c"}"#, "a"),
            (r#"{"imageUrl":"","imageUrls":["b"],"videoUrl":"c"}"#, "b"),
            (r#"{"imageUrl":null,"imageUrls":[{"url":"b"}]}"#, "b"),
            (r#"{"imageUrls":["",null,{"url":""},{"url":"d"}]}"#, "d"),
            (r#"{"imageUrls":[],"videoUrl":"c"}"#, "c"),
            (r#"{"image_url":"a"}"#, "a"),
            (r#"{"imageUrl":7}"#, ""),
            (r#"{"imageUrl":"None","imageUrls":["n/a","b"]}"#, "b"),
            (r#"{"imageUrl":"http://"}"#, ""),
            (r#"{"imageUrl":{"href":"a"}}"#, "a"),
            (r#"{"result":{"url":"http://a"}}"#, "http://a"),
            (r#"{"result":"http://a"}"#, "http://a"),
            (r#"{"result":"submitted"}"#, ""),
            (r#"{"output":{"image_url":"a"}}"#, "a"),
            (r#"{"task_result":{"images":[{"url":"a"}]}}"#, "a"),
            (r#"{"url":"http://a","imageUrl":"b"}"#, "b"),
            (r#"{"cdnImage":"http://a"}"#, "http://a"),
            (r#"{"imageUrls":"[{\"url\":\"b\"}]"}"#, "b"),
            (r#"{"imageUrls":"[]","videoUrl":"c"}"#, "c"),
            ("{}", ""),
        ] {
            assert_eq!(picture(json), url, "{json}");
        }
    }

    #[test]
    fn each_name_of_the_picture_is_known() {
        for name in [
            "img_url",
            "imgUrl",
            "imageURL",
            "imageDcUrl",
            "cdnUrl",
            "resultUrl",
            "oss_image_url",
            "original_image_url",
        ] {
            assert_eq!(picture(&format!(r#"{{"{name}":"https://cdn.x/a.png"}}"#)), "https://cdn.x/a.png", "{name}");
        }
        for (json, url) in [
            (r#"{"attachments":[{"url":"https://cdn.x/a.png"}]}"#, "https://cdn.x/a.png"),
            (r#"{"original_image_url":"http://in","imageUrl":"out"}"#, "out"),
            (r#"{"images":["quarter"],"cdnImage":"grid"}"#, "grid"),
            (r#"{"resultInfoJson":{"resultUrls":[{"resultUrl":"a"},{"resultUrl":"b"}]}}"#, "a"),
            (r#"{"resultInfoJson":"{\"resultUrls\":[\"a\"]}"}"#, "a"),
        ] {
            assert_eq!(picture(json), url, "{json}");
        }
    }

    #[test]
    fn a_video_is_its_file_and_not_its_thumbnail() {
        let both = r#""imageUrl":"thumb.webp","videoUrl":"v.mp4","videoUrls":[{"url":"v0.mp4","thumbnail":"t0.webp"}]"#;
        for (json, url) in [
            (format!(r#"{{"action":"VIDEO",{both}}}"#), "v.mp4"),
            (format!(r#"{{"action":"video_extend",{both}}}"#), "v.mp4"),
            (format!(r#"{{"action":"IMAGINE",{both}}}"#), "thumb.webp"),
            (format!("{{{both}}}"), "thumb.webp"),
            (r#"{"action":"VIDEO","imageUrl":"t","videoUrl":"","videoUrls":[{"url":"v0.mp4"}]}"#.to_owned(), "v0.mp4"),
            (r#"{"action":"VIDEO","imageUrl":"t","videoUrl":"","videoUrls":null}"#.to_owned(), "t"),
        ] {
            assert_eq!(picture(&json), url, "{json}");
        }
    }

    #[test]
    fn an_address_without_a_host_is_one_of_the_upstream_s() {
        let base = Url::parse("https://relay.cn:8443/v1").unwrap();
        for (shown, whole) in [
            ("/attachments/x.png", "https://relay.cn:8443/attachments/x.png"),
            ("/mj/image/17?sig=a", "https://relay.cn:8443/mj/image/17?sig=a"),
            ("//cdn.x/x.png", "https://cdn.x/x.png"),
            ("http://cdn.x/x.png", "http://cdn.x/x.png"),
            ("data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
            ("//", "//"),
            ("", ""),
        ] {
            let report = TaskReport { image_url: shown.to_owned(), ..TaskReport::default() };
            let mut seen = Observation::Succeeded(report);
            resolve(&mut seen, &base);
            let Observation::Succeeded(report) = seen else { panic!("{shown}") };
            assert_eq!(report.image_url, whole, "{shown}");
        }
    }
}
