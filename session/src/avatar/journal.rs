//! Which sessions are open, on disk, so that the next start can end what a kill left behind.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;

/// A folder with one small file for each open session.
///
/// One file a session, rather than one file for all, so that adding is one rename and removing one unlink: neither can
/// be half done, and two processes that share the folder cannot overwrite each other's entries. Each file names the
/// process it belongs to; a session is left over once that process is gone. On Linux that is told by process number
/// and start time. Elsewhere every other process counts as gone, so give each its own folder there. Containers see
/// only their own processes: never let two share a folder.
///
/// Session ids are in it, secrets are not.
///
/// ```
/// use voxline_session::Journal;
///
/// let folder = std::env::temp_dir().join(format!("voxline-journal-{}", std::process::id()));
/// let journal = Journal::open(&folder)?;
/// assert!(journal.leftovers("https://api.agenthuman.com")?.is_empty());
/// # std::fs::remove_dir(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// Opens a folder, and makes it if there is none.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// The ids of the sessions at the service `base` whose process is gone.
    ///
    /// A file that is no entry is left alone. Blocks on the disk.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn leftovers(&self, base: &str) -> io::Result<Vec<String>> {
        let mut left = Vec::new();
        for file in fs::read_dir(&self.folder)? {
            let path = file?.path();
            if path.extension().is_none_or(|extension| extension != EXTENSION) {
                continue;
            }
            // Another process may remove its own at any moment.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let mut lines = text.lines();
            let (Some(of), Some(id), Some(owner)) = (lines.next(), lines.next(), lines.next()) else {
                continue;
            };
            if of == base && !is_alive(owner) {
                left.push(id.to_owned());
            }
        }
        left.sort();
        Ok(left)
    }

    /// Notes that a session is open. It is on the disk when this returns.
    pub(super) fn add(&self, base: &str, id: &str) -> io::Result<()> {
        if id.chars().any(char::is_control) {
            let words = "session id holds control characters";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
        }
        let path = self.path(base, id);
        let part = path.with_extension("part");
        let mut file = File::create(&part)?;
        write!(file, "{base}\n{id}\n{}\n", owner(process::id()))?;
        file.sync_all()?;
        fs::rename(&part, &path)
    }

    /// Notes that a session is over.
    pub(super) fn remove(&self, base: &str, id: &str) -> io::Result<()> {
        match fs::remove_file(self.path(base, id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Ids are opaque, so a name is made of their hash.
    fn path(&self, base: &str, id: &str) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        (base, id).hash(&mut hasher);
        self.folder.join(format!("{:016x}.{EXTENSION}", hasher.finish()))
    }
}

/// Names a process so that no later one has the same name.
fn owner(id: u32) -> String {
    format!("{id} {}", start_time(&id.to_string()).unwrap_or_default())
}

fn is_alive(owner: &str) -> bool {
    let Some((id, start)) = owner.split_once(' ') else { return false };
    if id == process::id().to_string() {
        return start == start_time(id).unwrap_or_default();
    }
    !start.is_empty() && start_time(id).is_some_and(|now| now == start)
}

/// When a process started, in Linux's own count: field 22 of its `stat`, after a name that may hold anything.
/// `None` where there is no such file, and for a process that is dead and not yet buried.
fn start_time(id: &str) -> Option<String> {
    let stat = fs::read_to_string(Path::new("/proc").join(id).join("stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X");
    if is_dead { None } else { fields.nth(18).map(str::to_owned) }
}

const EXTENSION: &str = "session";

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(name: &str) -> Journal {
        let folder = std::env::temp_dir().join(format!("voxline-{name}-{}", process::id()));
        let _ = fs::remove_dir_all(&folder);
        Journal::open(folder).unwrap()
    }

    /// As a process of that name would have left it.
    fn orphan(journal: &Journal, id: &str, owner: &str) {
        journal.add("http://h", id).unwrap();
        fs::write(journal.path("http://h", id), format!("http://h\n{id}\n{owner}\n")).unwrap();
    }

    #[test]
    fn only_what_a_dead_process_left_is_left_over() {
        let journal = journal("leftovers");
        journal.add("http://h", "sess_ours").unwrap();
        orphan(&journal, "sess_2", "4294967295 7");
        orphan(&journal, "sess_1", "1 not-when-it-started");
        orphan(&journal, "sess_before", &format!("{} an-earlier-start", process::id()));
        fs::write(journal.folder.join("notes.txt"), "keep").unwrap();
        fs::write(journal.folder.join("torn.session"), "http://h\n").unwrap();
        assert_eq!(journal.leftovers("http://h").unwrap(), ["sess_1", "sess_2", "sess_before"]);
        assert!(journal.leftovers("http://elsewhere").unwrap().is_empty());
        journal.remove("http://h", "sess_1").unwrap();
        journal.remove("http://h", "sess_1").unwrap();
        assert_eq!(journal.leftovers("http://h").unwrap(), ["sess_2", "sess_before"]);
        assert!(journal.folder.join("notes.txt").exists());
        fs::remove_dir_all(&journal.folder).unwrap();
    }

    #[test]
    fn an_id_that_would_break_a_line_is_refused() {
        let journal = journal("lines");
        assert!(journal.add("http://h", "a\nb").is_err());
        fs::remove_dir_all(&journal.folder).unwrap();
    }
}
