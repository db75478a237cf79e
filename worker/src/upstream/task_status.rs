//! The status of a task: reads the words of the family and its dialects.

/// What a task's status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// Any other word, or none at all.
    Running,
    Succeeded,
    Failed,
    Cancelled,
    WaitsForInput,
}

impl Status {
    /// Reads a status in capitals.
    ///
    /// Only words with one meaning count: kie's `CALLBACK_EXCEPTION` is about a callback; `INVALID`, `NOT_FOUND` and
    /// `DELETED` may be about anything.
    pub(super) fn of(status: &str) -> Self {
        match without_prefix(status) {
            "SUCCESS" | "SUCCEEDED" | "SUCCEED" | "SUCCESSFUL" | "COMPLETED" | "COMPLETE" | "FINISHED" | "FINISH"
            | "DONE" | "成功" | "已完成" | "完成" | "任务完成" => Self::Succeeded,
            "FAILURE"
            | "FAILED"
            | "FAIL"
            | "ERROR"
            | "TIMEOUT"
            | "TIMED_OUT"
            | "EXPIRED"
            | "EXCEPTION"
            | "REJECTED"
            | "DENIED"
            | "REFUSED"
            | "ABORTED"
            | "STOPPED"
            | "TERMINATED"
            | "MODERATED"
            | "NSFW"
            | "BANNED"
            | "BLOCKED"
            | "GENERATE_FAILED"
            | "GENERATION_FAILED"
            | "CREATE_TASK_FAILED"
            | "TASK_FAILED"
            | "SENSITIVE_WORD_ERROR"
            | "失败"
            | "任务失败"
            | "已失败"
            | "生成失败" => Self::Failed,
            "CANCEL" | "CANCELLED" | "CANCELED" => Self::Cancelled,
            "MODAL" => Self::WaitsForInput,
            _ => Self::Running,
        }
    }

    /// Whether the word is as common for an exchange as for a task.
    pub(super) fn may_be_of_an_exchange(status: &str) -> bool {
        matches!(status, "ERROR" | "TIMEOUT" | "TIMED_OUT" | "EXPIRED" | "EXCEPTION" | "DENIED" | "REFUSED")
    }

    /// Whether the word, in capitals, may mean a success: it is not known for a running task, and does not sound like a
    /// failure.
    pub(super) fn may_be_success(status: &str) -> bool {
        let goes_on = [
            "NOT_START",
            "NOT_STARTED",
            "SUBMITTED",
            "IN_PROGRESS",
            "PROGRESS",
            "PENDING",
            "PENDING_QUEUE",
            "ON_QUEUE",
            "IN_QUEUE",
            "QUEUE",
            "QUEUED",
            "QUEUING",
            "WAITING",
            "RUNNING",
            "PROCESSING",
            "GENERATING",
            "CREATED",
            "STARTED",
            "STARTING",
            "STAGED",
            "UNKNOWN",
        ];
        let sounds_bad = [
            "FAIL", "ERR", "EXCEP", "BAN", "BLOCK", "DEN", "REJECT", "REFUS", "TIME", "CANCEL", "VIOL", "SENSIT",
            "INVALID", "ABORT", "STOP", "TERMIN", "DELET", "CRASH", "EXPIR", "MODER", "NSFW", "RETRY", "LOST", "FOUND",
            "失", "错", "违", "敏感", "取消", "超时", "异常", "拒", "重试",
        ];
        let status = without_prefix(status);
        !goes_on.contains(&status)
            && !sounds_bad.iter().any(|sound| status.contains(sound))
            && Self::of(status) == Self::Running
    }

    /// The word for a number of the family's own enumeration, which a build shows that does not write the names.
    ///
    /// The Java and the C# edition agree on the numbers; there is no 2.
    pub(super) fn numbered(number: &str) -> Option<&'static str> {
        Some(match number {
            "0" => "NOT_START",
            "1" => "SUBMITTED",
            "3" => "IN_PROGRESS",
            "4" => "FAILURE",
            "5" => "SUCCESS",
            "6" => "MODAL",
            "7" => "CANCEL",
            _ => return None,
        })
    }

    /// The word for kie's `successFlag` (docs.kie.ai, mj/record-info): 2 is a task that failed, 3 a task that failed
    /// while it generated.
    pub(super) fn flagged(flag: &str) -> Option<&'static str> {
        Some(match flag {
            "0" => "IN_PROGRESS",
            "1" => "SUCCESS",
            "2" | "3" => "FAILURE",
            _ => return None,
        })
    }
}

fn without_prefix(status: &str) -> &str {
    status.strip_prefix("TASK_STATUS_").unwrap_or(status)
}
