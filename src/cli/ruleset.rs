//! `vpmesh ruleset`: the kernel's half of policy, as it would be loaded.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use super::output;
use super::rosters::{Sheet, join_as, known_key};
use crate::base::NodePath;
use crate::config::InterfaceName;
use crate::daemon::{configuration, kernel, load};
use crate::nft::{self, AdminGuard, Setting};
use crate::policy::Judge;
use crate::roster::Model;
use crate::roster::model::NodeKind;

#[derive(Debug, clap::Args)]
pub(super) struct RulesetArgs {
    /// The gateway whose table it is, with --roster.
    #[arg(long, value_name = "PATH", requires = "roster")]
    node: Option<NodePath>,
    /// These rosters, unsigned as they are, instead of the configuration's.
    #[arg(long, value_name = "FILE", requires = "node")]
    roster: Vec<PathBuf>,
    /// Print the transaction that `nft -j -f -` takes.
    #[arg(long)]
    json: bool,
}

/// Prints the table of a gateway.
///
/// # Errors
/// When rosters or the configuration can't be read, or the node is no gateway of theirs.
pub(super) fn run(args: &RulesetArgs, config: &Path) -> anyhow::Result<ExitCode> {
    let (model, node, interface, admin) = match &args.node {
        Some(node) => (offline(&args.roster)?, node.clone(), InterfaceName::default(), AdminGuard::On),
        None => {
            let config = configuration::read(config).map_err(|faults| anyhow!("{faults}"))?;
            let loaded = load::load(&config, None, &[], load::Unconfirmed::LeaveOut)?;
            (loaded.model, config.node.clone(), config.interface.clone(), kernel::admin_guard(&config))
        }
    };
    let gateway = model.find(&node).with_context(|| format!("no roster lists {node}; name one that does"))?;
    if !matches!(model.node(gateway).kind, NodeKind::Gateway { .. }) {
        return Err(anyhow!("{node} is not a gateway; the kernel's rules are of gateways"));
    }
    let setting = Setting { interface: interface.as_str(), gateway, admin };
    let ruleset = nft::compile(&Judge::new(model), &setting);
    let text = if args.json { ruleset.to_json() + "\n" } else { ruleset.to_string() };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Rosters by name, without their signatures, as the first one's owner reads them.
fn offline(files: &[PathBuf]) -> anyhow::Result<Arc<Model>> {
    let read = |path: &PathBuf| Sheet::read(path).map_err(|faults| anyhow!("{faults}"));
    let sheets = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let (reader, others) = sheets.split_first().context("name a roster")?;
    let joined = join_as(reader, known_key(reader, others), others).map_err(|faults| anyhow!("{faults}"))?;
    match joined.refused.first() {
        Some(refused) => Err(anyhow!("{}", refused.faults)),
        None => Ok(Arc::new(joined.model)),
    }
}
