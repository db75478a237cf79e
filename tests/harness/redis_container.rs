//! A Redis in a container, started by testcontainers.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use testcontainers::core::{ContainerPort, IntoContainerPort};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};

use crate::queue_name::unique_queue;
use crate::reaper::Reaper;
use crate::redis_options::RedisOptions;
use crate::redis_process::connect;

/// Image names in order of preference. `.ci/make-redis-image` builds the first one on machines that cannot pull images.
const IMAGES: [(&str, &str); 2] = [("mjq-redis", "7"), ("redis", "7.2-alpine")];
const PULL_PATIENCE: Duration = Duration::from_secs(90);
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A running container. It is removed when dropped, and also when this process is killed.
pub(crate) struct RedisContainer {
    container: Option<ContainerAsync<GenericImage>>,
    reaper: Option<Reaper>,
    url: String,
    image: String,
}

impl RedisContainer {
    /// Starts a container and waits until its Redis answers. Pulls the image if it is missing.
    pub(crate) async fn start(options: &RedisOptions) -> anyhow::Result<Self> {
        let (name, tag) = IMAGES.into_iter().find(is_present).unwrap_or(IMAGES[1]);
        let port: ContainerPort = 6379.tcp();
        let arguments = ["redis-server", "--protected-mode", "no"].into_iter().map(str::to_owned);
        // The reaper starts before the container, so that a kill in between leaves nothing behind.
        let own_name = format!("mjq-{}", unique_queue());
        let reaper = Reaper::of_container(&own_name)?;
        let request = GenericImage::new(name, tag)
            .with_exposed_port(port)
            .with_cmd(arguments.chain(options.arguments()))
            .with_container_name(&own_name)
            .with_label("mjq", "tests");
        let container = tokio::time::timeout(PULL_PATIENCE, request.start())
            .await
            .with_context(|| format!("the image {name}:{tag} could not be had within {PULL_PATIENCE:?}"))?
            .with_context(|| format!("could not start a container of {name}:{tag}"))?;
        let host = container.get_host().await.context("the container has no host")?.to_string();
        // The port is mapped for IPv4 only, but some machines resolve `localhost` to ::1 first.
        let host = if host == "localhost" { "127.0.0.1".to_owned() } else { host };
        let mapped = container.get_host_port_ipv4(port).await.context("the container has no port")?;
        let url = format!("redis://{host}:{mapped}/");
        wait_until_it_answers(&url).await?;
        Ok(Self { container: Some(container), reaper: Some(reaper), url, image: format!("{name}:{tag}") })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn image(&self) -> &str {
        &self.image
    }
}

impl Drop for RedisContainer {
    fn drop(&mut self) {
        drop(self.container.take());
        // testcontainers has removed the container by now, and has waited for that.
        if let Some(reaper) = self.reaper.take() {
            reaper.dismiss();
        }
    }
}

/// Whether a Docker daemon answers. An installed client alone is not enough.
pub(crate) fn docker_answers() -> bool {
    succeeds(&["info", "--format", "{{.ServerVersion}}"])
}

fn is_present((name, tag): &(&str, &str)) -> bool {
    succeeds(&["image", "inspect", &format!("{name}:{tag}")])
}

fn succeeds(arguments: &[&str]) -> bool {
    let mut docker = Command::new("docker");
    docker.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    docker.status().is_ok_and(|status| status.success())
}

async fn wait_until_it_answers(url: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        // Docker's proxy accepts connections before Redis does, so only Redis's answer counts.
        let answer = async { anyhow::Ok(redis::cmd("PING").exec_async(&mut connect(url).await?).await?) };
        match answer.await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => bail!(error.context("Redis in the container does not answer")),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_container_serves_redis_and_is_removed_when_dropped() -> anyhow::Result<()> {
        if !docker_answers() {
            eprintln!("skipped: no Docker daemon answers here");
            return Ok(());
        }
        let container = RedisContainer::start(&RedisOptions::default().append_only()).await?;
        let id = container.container.as_ref().map(|it| it.id().to_owned()).context("it has no id")?;
        let mut redis = connect(container.url()).await?;

        let setting: Vec<String> = redis::cmd("CONFIG").arg("GET").arg("appendonly").query_async(&mut redis).await?;
        drop(container);

        assert_eq!(setting, ["appendonly", "yes"]);
        assert!(!succeeds(&["container", "inspect", &id]));
        Ok(())
    }
}
