//! The lock of an output folder: one run at a time, or several shards of one run.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::journal::PREFIX;
use super::shard::Shard;
use crate::error::{Fault, plain_io};

/// Held until it is dropped or its process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    /// The locked files; closing them unlocks.
    files: Vec<File>,
    /// Why other runs are not kept out, if the file system does not support locks.
    pub warning: Option<String>,
}

/// Who holds a lock: the content of its file.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
    /// Seconds since 1970.
    since: u64,
}

impl Lock {
    /// Locks `folder` for a whole run, or for one of several shards.
    pub(crate) fn take(folder: &Path, shard: Option<Shard>) -> Result<Self> {
        let whole = folder.join(format!("{PREFIX}lock"));
        let mut lock = Self {
            files: Vec::new(),
            warning: None,
        };
        match shard {
            None => lock.add(folder, &whole, File::try_lock, true)?,
            Some(shard) => {
                // Shards share this lock; a whole run holds it exclusively.
                lock.add(folder, &whole, File::try_lock_shared, false)?;
                let own = folder.join(format!("{PREFIX}{shard}.lock"));
                lock.add(folder, &own, File::try_lock, true)?;
            }
        }
        Ok(lock)
    }

    /// Adds the lock at `path`; its holder is written into it if it is `exclusive`.
    fn add(
        &mut self,
        folder: &Path,
        path: &Path,
        lock: fn(&File) -> Result<(), TryLockError>,
        exclusive: bool,
    ) -> Result<()> {
        let fault = |e: &std::io::Error| {
            Fault::failed(format!("cannot lock output folder `{}`", folder.display()))
                .because(plain_io(e))
        };
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let mut file = file.map_err(|e| fault(&e))?;
        match lock(&file) {
            Ok(()) if exclusive => {
                let text = serde_json::to_string(&Holder::this())? + "\n";
                let written = file
                    .set_len(0)
                    .and_then(|()| file.write_all(text.as_bytes()));
                written.map_err(|e| fault(&e))?;
            }
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Err(already_locked(folder, path).into()),
            Err(TryLockError::Error(e)) => {
                self.warning = Some(format!(
                    "output folder `{}` cannot be locked ({}): make sure that no other run writes there",
                    folder.display(),
                    plain_io(&e)
                ));
            }
        }
        self.files.push(file);
        Ok(())
    }
}

impl Holder {
    fn this() -> Self {
        let host = rustix::system::uname();
        Self {
            pid: std::process::id(),
            host: host.nodename().to_string_lossy().into_owned(),
            since: now().as_secs(),
        }
    }

    fn of(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    fn describe(&self) -> String {
        let seconds = now().as_secs().saturating_sub(self.since);
        let duration = match seconds {
            0..120 => format!("{seconds} s"),
            120..7200 => format!("{} min", seconds / 60),
            _ => format!("{} h", seconds / 3600),
        };
        format!("process {} on `{}`, for {duration}", self.pid, self.host)
    }
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The error that names the holder of the lock at `path`, or the shards that share it.
fn already_locked(folder: &Path, path: &Path) -> Fault {
    let is_free = |path: &PathBuf| File::open(path).is_ok_and(|file| file.try_lock().is_ok());
    let shared = File::open(path).is_ok_and(|file| file.try_lock_shared().is_ok());
    let holders: Vec<String> = if shared {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let locks = entries.map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(PREFIX) && name.ends_with(".lock")
        });
        locks
            .filter(|lock| lock != path && !is_free(lock))
            .filter_map(|lock| Holder::of(&lock))
            .map(|holder| holder.describe())
            .collect()
    } else {
        Holder::of(path).iter().map(Holder::describe).collect()
    };
    let fault = Fault::failed(format!(
        "another run is using output folder `{}`",
        folder.display()
    ))
    .hint("wait until it ends, or choose another folder with -o");
    if holders.is_empty() {
        fault
    } else {
        fault.because(holders.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorReport;

    #[test]
    fn whole_runs_exclude_all_others_and_shards_only_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let shard = |text: &str| text.parse().ok();
        let take = |shard| Lock::take(dir.path(), shard);
        let holders =
            |result: Result<Lock>| ErrorReport::of(&result.unwrap_err()).causes.join("\n");
        let whole = take(None).unwrap();
        let me = format!("process {} on `", std::process::id());
        assert!(holders(take(None)).starts_with(&me));
        assert!(holders(take(shard("0/2"))).starts_with(&me));
        drop(whole);
        let first = take(shard("0/2")).unwrap();
        let _second = take(shard("1/2")).unwrap();
        assert!(holders(take(shard("0/2"))).starts_with(&me));
        assert!(holders(take(None)).starts_with(&me));
        drop(first);
        let _again = take(shard("0/2")).unwrap();
    }
}
