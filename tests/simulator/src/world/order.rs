//! The order in a submit, read from its path and body.

use serde_json::{Map, Value};

use super::World;
use crate::{buttons, dialect::Refusal, playbook::Cue};

/// A submit as it arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Submit<'a> {
    /// The last part of the path: `imagine`, `action` …
    pub(crate) action: &'a str,
    /// The speed that the path names: `fast`, `relax` or `turbo`.
    pub(crate) speed: Option<&'a str>,
    pub(crate) body: &'a [u8],
    /// Base of image URLs in callbacks.
    pub(crate) base_url: &'a str,
}

/// The content of a submit, as far as it can be understood.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    pub(crate) kind: String,
    pub(crate) prompt: String,
    pub(crate) state: Option<String>,
    pub(crate) hook: Option<String>,
    pub(crate) bot_type: String,
    pub(crate) speed: String,
    pub(crate) base_url: String,
    /// The task to which the order refers.
    pub(crate) parent: Option<usize>,
    pub(crate) custom_id: Option<String>,
    pub(crate) picked: Option<u8>,
    pub(crate) opens_window: bool,
    /// The MODAL task that the order continues.
    pub(crate) continues: Option<usize>,
    /// Whether the order came through the old `change`, which remembers its upscales.
    pub(crate) is_change: bool,
    /// Why the order cannot be carried out.
    pub(crate) refusal: Option<Refusal>,
}

impl Order {
    pub(super) fn read(world: &World, submit: Submit<'_>, now_ms: u64) -> Self {
        if submit.body.len() > world.knobs.max_body_bytes {
            return Self::refused(Refusal::TooLarge);
        }
        let Ok(body) = serde_json::from_slice::<Map<String, Value>>(submit.body) else {
            return Self::refused(Refusal::NotJson);
        };

        let mut order = Self {
            kind: submit.action.to_uppercase(),
            prompt: text(&body, "prompt").unwrap_or_default(),
            state: text(&body, "state"),
            hook: text(&body, "notifyHook").filter(|hook| !hook.is_empty()),
            bot_type: text(&body, "botType").unwrap_or_else(|| "MID_JOURNEY".to_owned()),
            speed: speed(submit.speed, &body),
            base_url: submit.base_url.to_owned(),
            ..Self::default()
        };
        let done = match submit.action {
            "imagine" | "shorten" | "edit" | "edits" | "retexture" | "video" => order.check_prompt(world),
            "blend" => check_images(&body),
            "describe" => check_image(&body),
            "action" => order.press(world, &body, now_ms),
            "change" => order.change(world, &body, now_ms),
            "simple-change" => order.simple_change(world, &body, now_ms),
            "modal" => order.go_on(world, &body, now_ms),
            _ => Err(Refusal::NoSuchAction),
        };
        order.refusal = done.and_then(|()| order.check_state(world)).err();
        order
    }

    /// Two submits with the same subject are the same job; see [`crate::Creation::subject`].
    pub(super) fn subject(&self) -> &str {
        match &self.custom_id {
            Some(custom_id) => custom_id,
            None if self.prompt.is_empty() => self.state.as_deref().unwrap_or_default(),
            None => &self.prompt,
        }
    }

    pub(super) fn cue(&self) -> Cue<'_> {
        Cue {
            kind: &self.kind,
            is_follow_up: self.parent.is_some() || self.continues.is_some() || self.custom_id.is_some(),
            prompt: &self.prompt,
            state: self.state.as_deref().unwrap_or_default(),
            custom_id: self.custom_id.as_deref().unwrap_or_default(),
            subject: self.subject(),
        }
    }

    fn refused(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..Self::default() }
    }

    fn check_prompt(&self, world: &World) -> Result<(), Refusal> {
        if self.prompt.trim().is_empty() {
            return Err(Refusal::Invalid("prompt不能为空".to_owned()));
        }
        match self.banned_word(world) {
            Some(word) if world.knobs.dialect.refuses_banned_words() => Err(Refusal::Banned(word.to_owned())),
            _ => Ok(()),
        }
    }

    pub(super) fn banned_word<'w>(&self, world: &'w World) -> Option<&'w str> {
        let is_said =
            |word: &&String| self.prompt.split(|c: char| !c.is_alphanumeric()).any(|said| said == word.as_str());
        world.knobs.banned_words.iter().find(is_said).map(String::as_str)
    }

    fn check_state(&self, world: &World) -> Result<(), Refusal> {
        let longest = world.knobs.dialect.longest_state().unwrap_or(usize::MAX);
        match &self.state {
            Some(state) if state.chars().count() > longest => {
                Err(Refusal::Invalid("state 长度不能超过 255".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn press(&mut self, world: &World, body: &Map<String, Value>, now_ms: u64) -> Result<(), Refusal> {
        let (Some(task_id), Some(custom_id)) = (id(body, "taskId"), text(body, "customId")) else {
            return Err(Refusal::Invalid("taskId和customId不能为空".to_owned()));
        };
        self.follow(world, &task_id, custom_id, now_ms)
    }

    fn change(&mut self, world: &World, body: &Map<String, Value>, now_ms: u64) -> Result<(), Refusal> {
        let index = body.get("index").and_then(Value::as_u64).unwrap_or_default();
        let (Some(task_id), Some(action)) = (id(body, "taskId"), text(body, "action")) else {
            return Err(Refusal::Invalid("taskId和action不能为空".to_owned()));
        };
        self.change_to(world, &task_id, &action, index, now_ms)
    }

    fn simple_change(&mut self, world: &World, body: &Map<String, Value>, now_ms: u64) -> Result<(), Refusal> {
        let content = text(body, "content").unwrap_or_default();
        let (task_id, wish) = content.split_once(' ').unwrap_or_default();
        let action = match wish.chars().next() {
            Some('U') => "UPSCALE",
            Some('V') => "VARIATION",
            Some('R') => "REROLL",
            _ => return Err(Refusal::Invalid("content参数错误".to_owned())),
        };
        let index = wish.get(1..).and_then(|index| index.parse().ok()).unwrap_or_default();
        self.change_to(world, task_id, action, index, now_ms)
    }

    fn change_to(
        &mut self,
        world: &World,
        task_id: &str,
        action: &str,
        index: u64,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        self.is_change = true;
        let parent = world.task(task_id).ok_or(Refusal::NoParent)?;
        let custom_id = buttons::changed(action, index, &parent.message_hash());
        let custom_id = custom_id.ok_or_else(|| Refusal::Invalid("action或index参数错误".to_owned()))?;
        self.follow(world, task_id, custom_id, now_ms)
    }

    /// Makes this the order of a button below a finished task.
    fn follow(&mut self, world: &World, task_id: &str, custom_id: String, now_ms: u64) -> Result<(), Refusal> {
        let press = buttons::press(&custom_id);
        press.kind.clone_into(&mut self.kind);
        (self.picked, self.opens_window) = (press.picked, press.opens_window);
        self.custom_id = Some(custom_id.clone());

        let number = world.number(task_id).ok_or(Refusal::NoParent)?;
        let parent = &world.tasks[number];
        self.parent = Some(number);
        self.prompt.clone_from(&parent.prompt);
        self.bot_type.clone_from(&parent.bot_type);
        let has_button = parent.buttons().iter().any(|button| button.custom_id == custom_id);
        if has_button && parent.has_succeeded(now_ms) { Ok(()) } else { Err(Refusal::NoParent) }
    }

    fn go_on(&mut self, world: &World, body: &Map<String, Value>, now_ms: u64) -> Result<(), Refusal> {
        let task_id = id(body, "taskId").or_else(|| id(body, "task_id"));
        let task_id = task_id.ok_or_else(|| Refusal::Invalid("taskId不能为空".to_owned()))?;
        self.custom_id = Some(format!("modal:{task_id}"));

        let number = world.number(&task_id).ok_or(Refusal::NoParent)?;
        if self.prompt.is_empty() {
            self.prompt.clone_from(&world.tasks[number].prompt);
        }
        if !world.is_modal(number, now_ms) {
            return Err(Refusal::NoParent);
        }
        self.continues = Some(number);
        Ok(())
    }
}

fn check_images(body: &Map<String, Value>) -> Result<(), Refusal> {
    match body.get("base64Array").and_then(Value::as_array).map(Vec::len) {
        Some(2..=5) => Ok(()),
        _ => Err(Refusal::Invalid("base64List参数错误".to_owned())),
    }
}

fn check_image(body: &Map<String, Value>) -> Result<(), Refusal> {
    match text(body, "base64").or_else(|| text(body, "link")) {
        Some(image) if !image.is_empty() => Ok(()),
        _ => Err(Refusal::Invalid("base64不能为空".to_owned())),
    }
}

fn text(body: &Map<String, Value>, key: &str) -> Option<String> {
    body.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// An id. Clients write ids as strings or as numbers.
pub(super) fn id(body: &Map<String, Value>, key: &str) -> Option<String> {
    body.get(key).and_then(id_text).filter(|id| !id.is_empty())
}

pub(super) fn id_text(id: &Value) -> Option<String> {
    match id {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The speed that the path names, else AGICTO's `model`, else the account filter; `fast` by default.
fn speed(by_path: Option<&str>, body: &Map<String, Value>) -> String {
    let by_model = || text(body, "model")?.strip_prefix("mj-").map(str::to_owned);
    let by_filter = || Some(body.get("accountFilter")?.get("modes")?.get(0)?.as_str()?.to_lowercase());
    by_path.map(str::to_owned).or_else(by_model).or_else(by_filter).unwrap_or_else(|| "fast".to_owned())
}
