//! One run at a time in an output folder; shards of one run side by side.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::journal::PREFIX;
use super::shard::Shard;
use crate::error::{Fault, plain_io};

/// Held until it is dropped, or its process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Lock {
    /// What is locked, as long as it is open.
    files: Vec<File>,
    /// Why other runs are not kept out, where the file system knows no locks.
    pub warning: Option<String>,
}

/// Who holds a lock: the text of its file.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
    /// Seconds since 1970.
    since: u64,
}

impl Lock {
    /// Locks `folder` for a whole run, or for one shard beside others.
    pub(crate) fn take(folder: &Path, shard: Option<Shard>) -> Result<Self> {
        let whole = folder.join(format!("{PREFIX}lock"));
        let mut lock = Self {
            files: Vec::new(),
            warning: None,
        };
        match shard {
            None => lock.add(folder, &whole, File::try_lock, true)?,
            Some(shard) => {
                // Shards share this one; a whole run keeps it for itself.
                lock.add(folder, &whole, File::try_lock_shared, false)?;
                let own = folder.join(format!("{PREFIX}{shard}.lock"));
                lock.add(folder, &own, File::try_lock, true)?;
            }
        }
        Ok(lock)
    }

    fn add(
        &mut self,
        folder: &Path,
        path: &Path,
        lock: fn(&File) -> Result<(), TryLockError>,
        sign: bool,
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
            Ok(()) if sign => {
                let text = serde_json::to_string(&Holder::this())? + "\n";
                let signed = file
                    .set_len(0)
                    .and_then(|()| file.write_all(text.as_bytes()));
                signed.map_err(|e| fault(&e))?;
            }
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Err(taken(folder, path).into()),
            Err(TryLockError::Error(e)) => {
                self.warning = Some(format!(
                    "output folder `{}` cannot be locked ({}): take care that no other run writes there",
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
        let lasts = match seconds {
            0..120 => format!("{seconds} s"),
            120..7200 => format!("{} min", seconds / 60),
            _ => format!("{} h", seconds / 3600),
        };
        format!("process {} on `{}`, for {lasts}", self.pid, self.host)
    }
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Who is in the way: the holder of the lock at `path`, or the shards that share it.
fn taken(folder: &Path, path: &Path) -> Fault {
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
        "another run works on output folder `{}`",
        folder.display()
    ))
    .hint("wait for its end, or choose another folder with -o");
    if holders.is_empty() {
        fault
    } else {
        fault.because(holders.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Report;

    #[test]
    fn whole_runs_keep_all_out_and_shards_only_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let shard = |text: &str| text.parse().ok();
        let take = |shard| Lock::take(dir.path(), shard);
        let told = |result: Result<Lock>| Report::of(&result.unwrap_err()).causes.join("\n");
        let whole = take(None).unwrap();
        let me = format!("process {} on `", std::process::id());
        assert!(told(take(None)).starts_with(&me));
        assert!(told(take(shard("0/2"))).starts_with(&me));
        drop(whole);
        let first = take(shard("0/2")).unwrap();
        let _second = take(shard("1/2")).unwrap();
        assert!(told(take(shard("0/2"))).starts_with(&me));
        assert!(told(take(None)).starts_with(&me));
        drop(first);
        let _again = take(shard("0/2")).unwrap();
    }
}
