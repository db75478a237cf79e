//! The nemesis: starts the pods, kills, freezes and drains them at any of their awaits, takes Redis away, and makes it
//! lose its last writes.

use std::{cell::Cell, rc::Rc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use super::{customers::admit_again, pod::Pod, world::World};
use crate::lifecycle::Phase;

pub(super) struct Nemesis {
    world: Rc<World>,
    pods: Vec<Place>,
    names: u64,
}

/// A place in which one pod after the other lives.
struct Place {
    name: String,
    is_draining: Rc<Cell<bool>>,
    /// The pod's main loop. All work under way ends with it.
    life: JoinSet<()>,
}

impl Nemesis {
    pub(super) fn start(world: Rc<World>) -> Self {
        let pods = world.weather.pods;
        let mut nemesis = Self { world, pods: Vec::new(), names: 0 };
        for number in 0..pods {
            let place = nemesis.launch(number);
            nemesis.pods.push(place);
        }
        nemesis
    }

    pub(super) async fn run(mut self) {
        while self.world.is_stormy() {
            sleep(self.world.dice.ms(0, self.world.weather.peace_ms)).await;
            if self.world.dice.permille(self.world.weather.redis_forgets) {
                self.make_redis_forget().await;
                continue;
            }
            let number = self.world.dice.below(self.pods.len() as u64);
            match self.world.dice.below(10) {
                0..4 => self.kill(number).await,
                4..7 => self.freeze(number),
                7..9 => self.drain(number).await,
                _ => self.take_redis_away(),
            }
        }
        // The pods live as long as this future does.
        std::future::pending::<()>().await;
    }

    fn launch(&mut self, number: u64) -> Place {
        self.names += 1;
        let (name, is_draining) = (format!("pod-{}", self.names), Rc::new(Cell::new(false)));
        let pod = Pod::new(self.world.clone(), name.clone(), number, is_draining.clone());
        let mut life = JoinSet::new();
        life.spawn_local(Rc::new(pod).run());
        Place { name, is_draining, life }
    }

    /// Kills a pod (kill -9), and starts another one in its place.
    async fn kill(&mut self, number: u64) {
        self.trouble(number, "is killed");
        self.pods[number as usize].life.shutdown().await;
        self.replace(number).await;
    }

    /// Drains a pod (SIGTERM), and starts another one in its place when it has ended.
    async fn drain(&mut self, number: u64) {
        let place = &mut self.pods[number as usize];
        self.world.note(|| format!("{} drains", place.name));
        place.is_draining.set(true);
        while place.life.join_next().await.is_some() {}
        self.replace(number).await;
    }

    async fn replace(&mut self, number: u64) {
        sleep(self.world.dice.ms(0, 3_000)).await;
        self.world.frozen_until_ms.borrow_mut().remove(&number);
        self.pods[number as usize] = self.launch(number);
    }

    /// Freezes a pod (SIGSTOP); it goes on some time later (SIGCONT).
    fn freeze(&mut self, number: u64) {
        self.trouble(number, "is frozen");
        let thaws_ms = self.world.now_ms() + self.world.dice.below(2 * self.world.weather.lease_ms + 4_000);
        self.world.frozen_until_ms.borrow_mut().insert(number, thaws_ms);
        self.world.troubled_until(thaws_ms);
    }

    fn take_redis_away(&mut self) {
        self.world.note(|| "redis is away".to_owned());
        let longest = 2 * self.world.weather.lease_ms;
        let back_ms = self.world.now_ms() + self.world.dice.below(longest);
        self.world.redis_away_until_ms.set(back_ms);
        self.world.troubled_until(back_ms);
        // No pod can renew its leases now.
        for number in 0..self.pods.len() as u64 {
            self.trouble(number, "has lost redis");
        }
    }

    /// A power cut: Redis comes back as another server, without the writes of up to the last second and a half.
    ///
    /// Only the pod itself knows what it submitted in that time. So no pod is frozen or killed meanwhile, nor before
    /// the pods have had time to report their submits.
    async fn make_redis_forget(&mut self) {
        let thawed_ms = self.world.frozen_until_ms.borrow().values().max().copied().unwrap_or(0);
        let away_ms = thawed_ms.max(self.world.redis_away_until_ms.get());
        sleep(Duration::from_millis(away_ms.saturating_sub(self.world.now_ms())) + Duration::from_millis(10)).await;
        self.lose_writes().await;
        if self.world.dice.permille(300) {
            // Redis comes back, and dies again while the pods report their claims.
            self.lose_writes().await;
        }
        sleep(Duration::from_secs(10)).await;
    }

    async fn lose_writes(&mut self) {
        let mut before = self.world.ledger.borrow().clone();
        sleep(self.world.dice.ms(0, 1_500)).await;

        self.world.note(|| "redis dies, and forgets".to_owned());
        self.world.tally.borrow_mut().count("redis loses writes");
        let back_ms = self.world.now_ms() + 1 + self.world.dice.below(3_000);
        self.world.redis_away_until_ms.set(back_ms);
        self.world.redis_is_kind_until_ms.set(back_ms + 10_000);
        self.world.troubled_until(back_ms + 10_000);
        for number in 0..self.pods.len() as u64 {
            self.trouble(number, "has lost redis");
        }
        let server = self.world.server() + 1;
        before.reassertion.server = server;
        self.world.ledger.replace(before);
        sleep(Duration::from_millis(back_ms - self.world.now_ms())).await;
        tokio::task::spawn_local(admit_again(self.world.clone()));
    }

    /// Marks the pod as troubled, and the submits that it has under way as ambiguous.
    fn trouble(&mut self, number: u64, what: &str) {
        let name = &self.pods[number as usize].name;
        self.world.note(|| format!("{name} {what}"));
        self.world.tally.borrow_mut().count(what);
        self.world.troubled.borrow_mut().insert(name.clone());
        let ledger = self.world.ledger.borrow();
        let submitting = ledger.jobs.iter().filter(|(_, row)| row.holder == *name && row.phase == Phase::Submitting);
        self.world.ambiguous.borrow_mut().extend(submitting.map(|(job, _)| job.clone()));
    }
}

/// How long a draining pod waits for the work that it has begun, in addition to the upstream's time-out.
pub(super) const DRAIN: Duration = Duration::from_secs(3);
