//! A roster that somebody gave: judged, served, stored. All of it or nothing, and whoever gave it is told.

use super::Reloader;
use crate::base::Name;
use crate::daemon::delivery::Delivery;
use crate::daemon::load::{self, Loaded};
use crate::daemon::notice::Notice;
use crate::mesh::accept::{Meaning, NotAccepted, hash};
use crate::mesh::sync::Verdict;

impl Reloader {
    /// Judges what was given, beside the event loop; has the engine serve it, and puts it into the folder.
    pub(super) async fn take(&mut self, delivery: Delivery) {
        let Delivery { owner, signature, roster, from, reply } = delivery;
        let (config, running, named) = (self.config.clone(), self.running.clone(), owner.clone());
        let judged = tokio::task::spawn_blocking(move || {
            let judged = load::judge(&config, running.as_ref(), named.as_ref(), &signature, &roster);
            (hash(&roster), judged)
        });
        let Ok((hash, judged)) = judged.await else { return };
        let outcome = match judged {
            Ok(Some((owner, loaded))) => {
                self.take_up(&owner, loaded, &from).await.map(|words| (owner, words))
            }
            Ok(None) => Ok((
                owner.clone().unwrap_or_else(|| self.config.node.owner().clone()),
                "it is in force already".to_owned(),
            )),
            Err(refusal) => Err(refusal),
        };
        if let Err(NotAccepted { why, meaning }) = &outcome {
            let forged = *meaning == Meaning::Forged;
            // Who sends what nobody signed can fill no log: the engine does not ask them again for long.
            if forged && owner.is_some() {
                tracing::warn!(from, "a roster is refused: {why}");
            } else {
                for line in why.lines() {
                    tracing::error!(from, "a roster is refused: {line}");
                }
            }
        }
        let told = outcome.as_ref().ok().map(|(owner, _)| owner.clone()).or(owner);
        if let Some(owner) = told {
            let verdict = match &outcome {
                Ok(_) => Verdict::Accepted,
                Err(NotAccepted { why, meaning }) => Verdict::Refused { why: why.clone(), meaning: *meaning },
            };
            let _ = self.notices.send(Notice::Judged(owner, hash, verdict)).await;
        }
        if let Some(reply) = reply {
            let words = outcome.map(|(_, words)| words).map_err(|refusal| refusal.why);
            // A client that went away is no matter.
            let _ = reply.send(words);
        }
    }

    async fn take_up(&mut self, owner: &Name, loaded: Loaded, from: &str) -> Result<String, NotAccepted> {
        let config = self.config.clone();
        let not_now = |why| NotAccepted { why, meaning: Meaning::NotNow };
        if self.is_trial() {
            return Err(not_now("a reload waits for its confirmation".to_owned()));
        }
        let (report, errors) = self.put_in_force(&config, &loaded).await.map_err(not_now)?;
        let serial = loaded.serial(owner).unwrap_or(0);
        tracing::info!(
            %owner,
            serial,
            from,
            peers_added = report.peers_added,
            peers_removed = report.peers_removed,
            flows_cut = report.flows_cut,
            "a newer roster is in force"
        );
        for error in &errors {
            tracing::error!("{error}");
        }
        for note in &loaded.notes {
            tracing::warn!("{note}");
        }
        self.running = Some(loaded.clone());
        self.unstored.retain(|unstored| unstored.owner() != owner);
        let name = owner.clone();
        let stored = tokio::task::spawn_blocking(move || loaded.install(&config, &name)).await;
        let mut words = format!("{owner}'s roster with serial {serial} is in force");
        if let Ok(Err(not_stored)) = stored {
            let (error, unstored) = *not_stored;
            tracing::error!(%owner, serial, "a roster is in force and can't be stored: {error}");
            words.push_str(&format!("; it can't be stored: {error}"));
            self.unstored.push(unstored);
        }
        Ok(words)
    }
}
