//! Small files that must be whole or absent: keys, certificates, identities.
//!
//! ```text
//!  create temp (mode set before the first byte) ─► write ─► fsync ─► rename over the name ─► fsync directory
//! ```
//!
//! Refuses to write a file in place, and to let a private file exist for a moment with wider permissions.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;

/// Who may read a file written by [`replace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The owner only (Unix mode 0600; on Windows the directory's access list rules).
    Private,
    /// Everyone (Unix mode 0644 under the usual umask).
    Public,
}

/// Puts `bytes` at `path` so that a reader, or a crash, sees the old file or the new one and never a part of it.
///
/// # Errors
/// Any failure of the file system; `path` is then as it was and the temporary file is removed.
pub fn replace(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let temporary = temporary_beside(path)?;
    let outcome = write_synced(&temporary, bytes, access).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = outcome {
        // The first failure is the one worth telling; a left-over temporary file harms nobody.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_directory(path)
}

/// Makes `dir` and its parents where they are missing; what it makes is for the owner only (Unix mode 0700).
///
/// # Errors
/// Any failure of the file system. A directory that exists already is left as it is.
pub fn private_directory(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Makes an empty private file if there is none, so that a library which opens it later inherits the mode.
///
/// # Errors
/// Any failure of the file system but "it exists already".
pub fn private_file_if_missing(path: &Path) -> io::Result<()> {
    match create_new(path, Access::Private) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Waits until nobody else holds the lock file at `path` (made if missing, owner only), then holds it until the value
/// is dropped or the process ends, however it ends. Blocks the thread.
///
/// # Errors
/// Any failure of the file system, such as one that knows no locks.
pub fn lock(path: &Path) -> io::Result<File> {
    private_file_if_missing(path)?;
    let file = OpenOptions::new().append(true).open(path)?;
    file.lock()?;
    Ok(file)
}

/// Whether anyone but the owner may read or write `path`.
///
/// # Errors
/// Any failure to read the file's metadata.
#[cfg(unix)]
pub fn open_to_others(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata(path)?.mode() & 0o077 != 0)
}

/// Whether anyone but the owner may read or write `path`: here files have no Unix mode, so always `false`.
///
/// # Errors
/// Any failure to read the file's metadata.
#[cfg(not(unix))]
pub fn open_to_others(path: &Path) -> io::Result<bool> {
    fs::metadata(path).map(|_| false)
}

fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut random = [0u8; 8];
    rand::fill(&mut random).map_err(|_| io::Error::other("the system gave no random bytes"))?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{:016x}.tmp", u64::from_be_bytes(random)));
    Ok(path.with_file_name(temporary))
}

fn write_synced(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let mut file = create_new(path, access)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn create_new(path: &Path, access: Access) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if access == Access::Private { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = access;
    options.open(path)
}

/// A rename is durable only once its directory is; Windows offers no such call and needs none.
fn sync_directory(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::tunnel::scratch::Scratch;

    #[test]
    fn replaces_whole_files_and_leaves_nothing_else() {
        let dir = Scratch::new();
        let path = dir.path().join("thing.pem");
        replace(&path, b"one", Access::Public).unwrap();
        replace(&path, b"two", Access::Private).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_temporary() {
        let dir = Scratch::new();
        let taken = dir.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("inside"), b"x").unwrap();
        assert!(replace(&taken, b"new", Access::Private).is_err());
        assert_eq!(fs::read(taken.join("inside")).unwrap(), b"x");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn private_means_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = Scratch::new();
        let (private, public) = (dir.path().join("a"), dir.path().join("b"));
        replace(&private, b"k", Access::Private).unwrap();
        replace(&public, b"c", Access::Public).unwrap();
        assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!open_to_others(&private).unwrap());
        assert!(open_to_others(&public).unwrap());
        let made = dir.path().join("data/inner");
        private_directory(&made).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
