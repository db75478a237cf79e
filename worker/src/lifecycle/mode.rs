//! Fast or relaxed: how long a task of this request may take.

use mjq_producer::{closed_set, contract::Request};
use serde::Deserialize;

closed_set! {
    /// The speed that a request asks for.
    #[derive(Default)]
    pub enum Mode {
        /// Fast or turbo: usually under a minute and a half.
        #[default]
        Fast = "fast",
        /// Relaxed: usually 2 to 10 minutes, at times an hour.
        Relax = "relax",
    }
}

impl Mode {
    /// The mode that an address implies, for requests that name none. The C# proxy, new-api and similar relays use
    /// `/mj-relax/mj/submit/imagine`.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        if path.split('/').any(|part| part.eq_ignore_ascii_case("mj-relax")) { Self::Relax } else { Self::Fast }
    }

    /// Reads the mode from the places where the family of upstreams looks for it: AGICTO's `model` (`mj-relax`),
    /// `accountFilter.modes` (`["RELAX"]`) and the prompt's `--relax`. A request that names none has the mode
    /// `otherwise`.
    #[must_use]
    pub fn of(request: &Request, otherwise: Self) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Filter {
            modes: Vec<String>,
        }
        #[derive(Deserialize)]
        struct Hints {
            #[serde(default, rename = "accountFilter")]
            filter: Option<Filter>,
        }
        let [model, prompt] = request.text_fields(["model", "prompt"]).map(Option::unwrap_or_default);
        let filter = serde_json::from_str::<Hints>(request.as_json()).ok().and_then(|hints| hints.filter);
        let modes = filter.unwrap_or_default().modes;
        let names = |mode: &str| {
            model.ends_with(mode)
                || prompt.split_whitespace().any(|word| word.strip_prefix("--") == Some(mode))
                || modes.iter().any(|own| own.eq_ignore_ascii_case(mode))
        };
        match names("relax") {
            true => Self::Relax,
            false if names("fast") || names("turbo") => Self::Fast,
            false => otherwise,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_that_names_the_mode_is_read() {
        for (json, mode) in [
            (r#"{"prompt":"cat"}"#, Mode::Fast),
            (r#"{"prompt":"cat","model":"mj-relax"}"#, Mode::Relax),
            (r#"{"prompt":"cat --relax --ar 1:1"}"#, Mode::Relax),
            (r#"{"prompt":"cat","accountFilter":{"modes":["RELAX"]}}"#, Mode::Relax),
            (r#"{"prompt":"cat","accountFilter":{"modes":["FAST"]}}"#, Mode::Fast),
            (r#"{"prompt":"cat","accountFilter":7,"model":7}"#, Mode::Fast),
        ] {
            assert_eq!(Mode::of(&Request::from_json(json.into()).unwrap(), Mode::Fast), mode, "{json}");
        }
    }
    #[test]
    fn the_address_tells_where_the_request_does_not() {
        for (path, mode) in [
            ("/mj-relax/mj/submit/{action}", Mode::Relax),
            ("/v1/mj-fast/mj/submit/{action}", Mode::Fast),
            ("/mj/submit/{action}", Mode::Fast),
            ("/not-mj-relax/submit", Mode::Fast),
        ] {
            assert_eq!(Mode::of_path(path), mode, "{path}");
        }
        for (json, mode) in [
            (r#"{"prompt":"cat"}"#, Mode::Relax),
            (r#"{"prompt":"cat --fast"}"#, Mode::Fast),
            (r#"{"prompt":"cat","model":"mj-turbo"}"#, Mode::Fast),
            (r#"{"prompt":"cat","accountFilter":{"modes":["FAST","RELAX"]}}"#, Mode::Relax),
        ] {
            assert_eq!(Mode::of(&Request::from_json(json.into()).unwrap(), Mode::Relax), mode, "{json}");
        }
    }
}
