//! One round of the connector: everything that waits is sent, fetched and answered once. A round may end anywhere, also by
//! kill; the next one goes on where the folder and the journal stand, and the platform takes repetitions for what they are.

use super::config::{Config, Role};
use super::journal::{Journal, Step};
use super::link::{Answer, Content, Link, Lost};
use super::place::{self, Place};
use super::renewal;
use crate::home::now;
use anyhow::{Result, anyhow};
use kiban_domain::Timestamp;
use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The connector at work in one folder.
pub struct Connector {
    pub(super) config: Config,
    pub(super) place: Place,
    pub(super) journal: Journal,
    pub(super) link: Link,
    /// When renewing the own certificate was tried last.
    pub(super) tried_renewal: Option<Timestamp>,
    _lock: File,
}

/// How a round went.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Packages the platform is still working on, and opinions whose answer is open do not count.
    pub pending: usize,
    /// What could not be done now, in Japanese; it is tried again.
    pub setbacks: Vec<String>,
    /// What was refused, or lies where nothing is taken from, in Japanese: trying again changes nothing.
    pub refused: Vec<String>,
}

/// What an answer means for what was sent.
pub(super) enum Verdict {
    /// It was taken.
    Taken,
    /// It will never be taken as it is.
    Never,
    /// Not now.
    Later,
}

impl Verdict {
    pub(super) fn of(answer: &Answer) -> Self {
        match answer.status {
            200..300 => Self::Taken,
            400 | 413 | 415 | 422 => Self::Never,
            _ => Self::Later,
        }
    }
}

impl Connector {
    /// Opens folder, lock, journal and link.
    pub fn open(config: Config) -> Result<Self> {
        let place = Place::create(&config.folder)?;
        let lock = place.lock()?;
        let journal = Journal::open(&place.part("state/journal"))?;
        if let Err(error) = renewal::finish(&config, &place) {
            // The pair in use is good until its end; putting the new one in its place is tried again with each renewal.
            eprintln!("新しい証明書を置けませんでした。いまの証明書のまま続けます: {error:#}");
        }
        let link = Link::new(&config)?;
        Ok(Self { config, place, journal, link, tried_renewal: None, _lock: lock })
    }

    /// One round.
    pub async fn round(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        self.renew_when_due().await;
        let went = match (self.recover(), self.config.role) {
            (Err(error), _) => Err(error),
            (Ok(()), Role::Municipality) => self.municipality(&mut outcome).await,
            (Ok(()), Role::Hospital) => self.hospital(&mut outcome).await.map(|()| HashSet::new()),
        };
        let went = went.and_then(|waiting| self.compact(&waiting));
        if let Err(error) = went {
            outcome.setbacks.push(format!("{error:#}"));
        }
        outcome
    }

    async fn municipality(&mut self, outcome: &mut Outcome) -> Result<HashSet<String>> {
        self.packages(outcome).await?;
        self.decisions(outcome).await?;
        self.inbox(outcome).await
    }

    /// Lets go of what is done and long ago: documents the platform does not list as `waiting` any more never come again.
    fn compact(&mut self, waiting: &HashSet<String>) -> Result<()> {
        let hours = i64::try_from(self.config.journal_days * 24).unwrap_or(i64::MAX);
        let since = now().checked_sub(jiff::SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MIN);
        let place = &self.place;
        self.journal.compact(self.config.journal_kilobytes * 1_024, since, |name, step| match name.split_once('/') {
            Some(("out", name)) => place.part("state/sending").join(name).exists(),
            Some(("decisions", name)) => place.part("state/deciding").join(name).exists(),
            Some(("opinion", _)) => step == Step::Received,
            Some(("inbox", receipt)) => step == Step::Delivering || waiting.contains(receipt),
            _ => true,
        })
    }

    /// Goes on with the next thing after a setback of one; a lost link ends the round.
    pub(super) fn note(outcome: &mut Outcome, what: &str, went: Result<()>) -> Result<()> {
        match went {
            Ok(()) => Ok(()),
            Err(error) if error.is::<Lost>() => Err(error),
            Err(error) => {
                outcome.setbacks.push(format!("{what}: {error:#}"));
                Ok(())
            }
        }
    }

    /// Sends, and turns "not now" into an error in the platform's own words.
    pub(super) async fn ask(&mut self, method: &str, path: &str, content: Content<'_>) -> Result<Answer> {
        let answer = self.link.send(method, path, content).await?;
        match Verdict::of(&answer) {
            Verdict::Later if answer.status != 404 && answer.status != 409 => Err(anyhow!("{}", answer.words())),
            _ => Ok(answer),
        }
    }

    pub(super) fn write(&mut self, step: Step, name: &str, note: &str) -> Result<()> {
        self.journal.write(now(), step, name, note)
    }

    /// Moves something somebody has finished into the connector's own folder, under a name not used before.
    pub(super) fn take(&mut self, name: &str, path: &Path, into: &str, prefix: &str) -> Result<()> {
        let free = self.free_name(name);
        place::move_whole(path, &self.place.part(into).join(&free))?;
        self.write(Step::Taken, &format!("{prefix}/{free}"), "")
    }

    fn free_name(&self, name: &str) -> String {
        let used = |name: &str| {
            let anywhere = ["state/sending", "state/deciding", "sent", "failed"];
            anywhere.iter().any(|part| self.place.part(part).join(name).exists())
                || self.journal.last(&format!("out/{name}")).is_some()
                || self.journal.last(&format!("decisions/{name}")).is_some()
                || ["json", "result.csv"].iter().any(|ending| self.result(&format!("{name}.{ending}")).exists())
        };
        let mut free = name.to_owned();
        let mut n = 2;
        while used(&free) {
            free = format!("{name}~{n}");
            n += 1;
        }
        free
    }

    /// The result stands in `results/`; what was sent goes to `sent/`, or away.
    pub(super) fn close(&mut self, from: &str, name: &str, prefix: &str, failed: bool) -> Result<()> {
        let path = self.place.part(from).join(name);
        if !path.exists() {
            return Ok(());
        }
        if failed {
            place::move_whole(&path, &self.place.part("failed").join(name))?;
        } else if self.config.keep_sent {
            place::move_whole(&path, &self.place.part("sent").join(name))?;
        } else {
            // First out of sight, so that no half of it is ever sent.
            let away = self.place.part("state/staging").join(format!("gone-{name}"));
            place::move_whole(&path, &away)?;
            place::remove(&away)?;
        }
        self.write(Step::Closed, &format!("{prefix}/{name}"), "")
    }

    pub(super) fn result(&self, name: &str) -> PathBuf {
        self.place.part("results").join(name)
    }
}
