//! The paper: how far one Redis goes, and which wall comes first.

use mjq_worker::lifecycle::Policy;

use super::{
    SEED,
    costs::{Costs, Traffic},
    dice::Dice,
    polls,
    traffic::MIX,
};
use crate::table::Table;

const PODS: [f64; 4] = [1.0, 10.0, 100.0, 1_000.0];
const OPEN: [f64; 5] = [1e3, 1e4, 1e5, 1e6, 1e7];

/// What is taken for a wall. Redis works on one core, and beyond this share of it answers come late.
const REDIS: f64 = 0.8;
/// A pod may use as much of a core of its own.
const POD: f64 = 0.8;
const MEMORY: f64 = 16.0 * GIB;
/// `maxclients` as Redis comes.
const CONNECTIONS: f64 = 10_000.0;
/// Requests per second that an upstream takes. A guess: some ban at 30, others say nothing.
const UPSTREAM: f64 = 1_000.0;
const LIST: f64 = 50.0;
pub(super) const GIB: f64 = (1_u64 << 30) as f64;
const HOUR_S: f64 = 3_600.0;

/// So many pods, and so many open tasks.
#[derive(Clone, Copy, Debug)]
struct Case {
    pods: f64,
    open: f64,
    jobs_s: f64,
    polls_s: f64,
    retention_s: f64,
}

/// How much of each wall's height is reached; 1 is at the wall.
#[derive(Clone, Copy, Debug)]
struct Heights {
    redis: f64,
    memory: f64,
    connections: f64,
    upstream: f64,
    pods: f64,
}

/// One table for tasks of a minute, and one for the mix of the month.
pub(super) fn tables(costs: &Costs) -> anyhow::Result<Vec<Table>> {
    let policy = Policy::default();
    let mut dice = Dice::new(SEED);
    let minute = polls::averages(&polls::plays((55_000, 65_000), true, 400, &policy, &mut dice)?);
    let mut mix = (0.0, 0.0);
    for sort in MIX {
        let (polls, seen_s) = polls::averages(&polls::plays(sort.span_ms, true, 400, &policy, &mut dice)?);
        mix = (mix.0 + sort.share * polls, mix.1 + sort.share * seen_s);
    }
    let title = |what: &str, (polls, seen_s): (f64, f64)| {
        format!("On paper: {what}, {polls:.1} polls each and {seen_s:.0} s from acceptance to the last of them")
    };
    Ok(vec![
        table(costs, title("tasks of a minute", minute), minute),
        table(costs, title("the month's mix of fast, relaxed and hour-long tasks", mix), mix),
    ])
}

fn table(costs: &Costs, title: String, (polls, seen_s): (f64, f64)) -> Table {
    let mut table = Table::new(
        title,
        &[
            "pods",
            "open",
            "jobs/s",
            "polls/s",
            "Redis %",
            "… empty claims",
            "GiB open",
            "GiB ended, 1 h",
            "GiB ended, 24 h",
            "connections",
            "requests/s",
            "… by lists",
            "first wall, 24 h kept",
            "shards, 24 h",
            "first wall, 1 h kept",
            "shards, 1 h",
        ],
    );
    for pods in PODS {
        for open in OPEN {
            let jobs_s = open / seen_s;
            let hour = Case { pods, open, jobs_s, polls_s: jobs_s * polls, retention_s: HOUR_S };
            let day = Case { retention_s: 24.0 * HOUR_S, ..hour };
            let load = costs.load(hour.traffic());
            table.row(vec![
                pods.into(),
                open.into(),
                jobs_s.into(),
                hour.polls_s.into(),
                (load.total * 100.0).into(),
                (load.empty_claims * 100.0).into(),
                (costs.bytes(open, 0.0) / GIB).into(),
                (costs.bytes(0.0, jobs_s * HOUR_S) / GIB).into(),
                (costs.bytes(0.0, jobs_s * 24.0 * HOUR_S) / GIB).into(),
                (pods * costs.connections_per_pod).into(),
                (jobs_s + hour.polls_s).into(),
                (jobs_s + hour.polls_s / LIST).into(),
                day.heights(costs).first().into(),
                (day.shards(costs) as f64).into(),
                hour.heights(costs).first().into(),
                (hour.shards(costs) as f64).into(),
            ]);
        }
    }
    table
}

impl Case {
    fn traffic(self) -> Traffic {
        let (pods, jobs) = (self.pods, self.jobs_s);
        Traffic { pods, enqueues: jobs, submits: jobs, polls: self.polls_s, ends: jobs, forgotten: jobs }
    }

    fn heights(self, costs: &Costs) -> Heights {
        Heights {
            redis: costs.load(self.traffic()).total / REDIS,
            memory: costs.bytes(self.open, self.jobs_s * self.retention_s) / MEMORY,
            connections: self.pods * costs.connections_per_pod / CONNECTIONS,
            upstream: (self.jobs_s + self.polls_s / LIST) / UPSTREAM,
            pods: (self.jobs_s + self.polls_s) * costs.worker_step / 1e6 / self.pods / POD,
        }
    }

    /// The same, spread over queues, each of which is a shard with pods of its own.
    fn shard(self, of: u64) -> Self {
        let of = of as f64;
        let pods = (self.pods / of).max(1.0);
        Self { pods, open: self.open / of, jobs_s: self.jobs_s / of, polls_s: self.polls_s / of, ..self }
    }

    /// How many shards it takes until none of them is at a wall of its Redis. Neither the upstream nor a lack of pods
    /// is mended by shards.
    fn shards(self, costs: &Costs) -> u64 {
        let is_enough = |of: u64| {
            let Heights { redis, memory, connections, .. } = self.shard(of).heights(costs);
            redis <= 1.0 && memory <= 1.0 && connections <= 1.0
        };
        (1..100_000).find(|of| is_enough(*of)).unwrap_or(u64::MAX)
    }
}

impl Heights {
    /// Of what there is least, and how many times over its wall it is, or how far below.
    fn first(self) -> String {
        let walls = [
            ("Redis CPU", self.redis),
            ("memory", self.memory),
            ("connections", self.connections),
            ("upstream", self.upstream),
            ("pods", self.pods),
        ];
        let (name, height) = walls.into_iter().fold(("", 0.0), |most, wall| if wall.1 > most.1 { wall } else { most });
        match height {
            low if low < 1.0 => format!("none ({name} {:.0} %)", low * 100.0),
            high => format!("{name} {high:.1} ×"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = super::super::tests::COSTS;

    fn case(pods: f64, open: f64) -> Case {
        Case { pods, open, jobs_s: open / 60.0, polls_s: open / 20.0, retention_s: HOUR_S }
    }

    #[test]
    fn a_thousand_open_tasks_of_one_pod_are_far_from_every_wall() {
        let small = case(1.0, 1e3);

        assert!(small.heights(&COSTS).first().starts_with("none"), "{:?}", small.heights(&COSTS));
        assert_eq!(small.shards(&COSTS), 1);
    }

    #[test]
    fn shards_are_enough_and_one_less_is_not() {
        let large = case(1_000.0, 1e6);
        let shards = large.shards(&COSTS);
        let worst = |of| {
            let Heights { redis, memory, connections, .. } = large.shard(of).heights(&COSTS);
            redis.max(memory).max(connections)
        };

        assert!(shards > 1 && worst(shards) <= 1.0 && worst(shards - 1) > 1.0, "{shards}");
    }
}
