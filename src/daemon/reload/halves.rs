//! What is in force: both halves take a model, or neither does.

use std::sync::Arc;

use super::Reloader;
use crate::config::Config;
use crate::daemon::kernel::{self, Policy};
use crate::daemon::load::{self, Loaded};
use crate::daemon::notice::Notice;
use crate::engine::ReloadReport;
use crate::names::Names;
use crate::os::netfilter::conntrack::ConntrackError;
use crate::os::netlink;
use crate::policy::Judge;
use crate::roster::{Model, NodeId};

impl Reloader {
    /// Has both halves enforce a model, or neither: what ran before runs on. What is wrong all the same.
    ///
    /// The engine's word comes first, because it is given without a change; then the kernel's, because it is what most
    /// likely refuses, and a transaction that is refused changed nothing.
    pub(super) async fn put_in_force(
        &mut self,
        config: &Config,
        loaded: &Loaded,
    ) -> Result<(ReloadReport, Vec<String>), String> {
        let model = &loaded.model;
        let own = load::own(config).map_err(|refusal| refusal.to_string())?;
        let shelf = loaded.shelf(&own);
        self.ask(|reply| Notice::Try(Arc::clone(model), reply)).await?;
        let mut errors = Vec::new();
        let (judge, policy) = compiled(model, config).await?;
        let (hosts, gateway) =
            policy.as_ref().map_or((0, None), |policy| (policy.lan_stations, Some(policy.gateway)));
        let outcome = match policy {
            Some(policy) => self.kernel.enforce(policy).await.map(|()| true),
            // A node without a room has nothing that only the kernel can police.
            None => Ok(false),
        };
        let enforced = match outcome {
            Ok(enforced) => enforced,
            Err(refusal) if self.is_enforced => {
                return Err(format!(
                    "{refusal}\nneither half was changed: what the kernel enforced before stays in force"
                ));
            }
            // There is nothing to go back to, and the mesh needs nothing of the kernel.
            Err(refusal) if hosts > 0 => {
                errors.push(format!(
                    "policy is NOT enforced between the internet and {} of this room: {refusal}",
                    amount(hosts, "LAN station")
                ));
                false
            }
            Err(refusal) => {
                tracing::warn!("the kernel's own half of policy is not in force: {refusal}");
                false
            }
        };
        let (unserved, odd) = loaded.room_key.said(config, model);
        errors.extend(unserved);
        odd.iter().for_each(|odd| tracing::warn!("{odd}"));
        let room_key = loaded.room_key.key.clone();
        let served = self.ask(|reply| Notice::Serve(Arc::clone(&judge), shelf, room_key, reply)).await;
        let mut report = match served {
            Ok(report) => report,
            Err(refusal) => {
                self.enforce_again().await;
                return Err(refusal);
            }
        };
        self.is_enforced = enforced;
        self.names.send_replace(Names::of(model, &config.domain));
        self.kernel.settled().await;
        let cut = match gateway {
            Some(gateway) => cut(judge, gateway).await,
            None => Ok(0),
        };
        match cut {
            Ok(cut) => report.kernel_flows_cut = cut,
            Err(ConntrackError::Missing) if self.said_missing => {}
            Err(error) => {
                self.said_missing |= matches!(error, ConntrackError::Missing);
                let warning =
                    format!("connections that the kernel goes on with are not judged again: {error}");
                if hosts > 0 { errors.push(warning) } else { tracing::debug!("{warning}") }
            }
        }
        Ok((report, errors))
    }

    /// The kernel enforces again what is in force.
    async fn enforce_again(&mut self) {
        if !self.is_enforced {
            return;
        }
        let Some(running) = &self.running else { return };
        let again = match compiled(&running.model, &self.config).await {
            Ok((_, Some(policy))) => self.kernel.enforce(policy).await,
            Ok((_, None)) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = again {
            tracing::error!(%error, "the kernel refuses what it enforced before");
        }
        self.kernel.settled().await;
    }
}

/// What each half enforces of a model, compiled.
async fn compiled(model: &Arc<Model>, config: &Config) -> Result<(Arc<Judge>, Option<Policy>), String> {
    let (model, config) = (Arc::clone(model), config.clone());
    let compiled = tokio::task::spawn_blocking(move || {
        let judge = Arc::new(Judge::new(model));
        let policy = Policy::new(&judge, &config);
        (judge, policy)
    });
    compiled.await.map_err(|error| error.to_string())
}

/// Ends the kernel's connections that the judge denies; how many.
async fn cut(judge: Arc<Judge>, gateway: NodeId) -> Result<u64, ConntrackError> {
    let own = netlink::own_addresses().await.unwrap_or_default();
    let cut = tokio::task::spawn_blocking(move || kernel::cut(&judge, gateway, &own)).await;
    let looked = cut.unwrap_or_else(|error| Err(ConntrackError::Other(std::io::Error::other(error))))?;
    Ok(looked.deleted)
}

fn amount(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
