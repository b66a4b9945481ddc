//! What is in memory stays there: secrets, certificate keys, payloads.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::cli::terminal::complain;

/// No core file, whatever the limits and the machine's handler for them are; and other processes of the same user can neither
/// attach nor read `/proc/PID/environ`, where secrets may stand, nor `/proc/PID/mem`. root still can.
///
/// For every command, because most of them read secrets. It is inherited by nobody: none of them starts a process. Where a
/// sandbox forbids it, that is said and the command goes on: the unit's `LimitCORE=0` holds all the same.
pub(super) fn keep_private() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        complain(&format!("dmz-relay: memory is open to core files and debuggers: {error}\n"));
    }
}
