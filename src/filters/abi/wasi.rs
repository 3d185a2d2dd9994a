//! The WASI subset (ABI, 7): lines, clock, random bytes, the filter's own environment, and honest refusals.
//!
//! There is no file system, no socket and no argument. Both module names of preview 1 are linked.

use std::time::Instant;

use wasmtime::Linker;

use super::Cx;
use super::log::unix_nanoseconds;
use super::memory::{put, put_u32, slice, split};
use crate::filters::observe::Level;
use crate::filters::state::{Phase, State};

const SUCCESS: u32 = 0;
const BADF: u32 = 8;
const FAULT: u32 = 21;
const INVAL: u32 = 28;
const NOENT: u32 = 44;
const ENOSYS: u32 = 52;
const NOTDIR: u32 = 20;
const NOTSUP: u32 = 58;

/// Bytes of random numbers per call (ABI, 7).
const RANDOM_BYTES_MAX: u32 = 64 * 1024;

/// Bytes of one line assembled from parts; what a line may have.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// Parts of one write: as the limit of POSIX.
const PARTS_MAX: u32 = 1024;

type Errno = Result<u32, super::Fail>;

/// Out-of-range addresses are `FAULT` here.
fn errno(result: Errno) -> u32 {
    result.unwrap_or(FAULT)
}

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        link_what_works(linker, module)?;
        link_files(linker, module)?;
        link_paths_and_sockets(linker, module)?;
    }
    Ok(())
}

fn link_what_works(linker: &mut Linker<State>, module: &str) -> wasmtime::Result<()> {
    linker
        .func_wrap(module, "fd_write", |mut cx: Cx<'_>, fd: u32, parts: u32, count: u32, out_written: u32| {
            errno(fd_write(&mut cx, fd, parts, count, out_written))
        })?
        .func_wrap(
            module,
            "fd_pwrite",
            |mut cx: Cx<'_>, fd: u32, parts: u32, count: u32, _offset: i64, out_written: u32| {
                errno(fd_write(&mut cx, fd, parts, count, out_written))
            },
        )?
        .func_wrap(module, "fd_fdstat_get", |mut cx: Cx<'_>, fd: u32, out: u32| errno(fdstat(&mut cx, fd, out)))?
        .func_wrap(module, "environ_sizes_get", |mut cx: Cx<'_>, out_count: u32, out_bytes: u32| {
            errno(environ_sizes(&mut cx, out_count, out_bytes))
        })?
        .func_wrap(module, "environ_get", |mut cx: Cx<'_>, pointers: u32, buffer: u32| {
            errno(environ(&mut cx, pointers, buffer))
        })?
        .func_wrap(module, "args_sizes_get", |mut cx: Cx<'_>, out_count: u32, out_bytes: u32| {
            errno(write_zeros(&mut cx, [out_count, out_bytes]))
        })?
        .func_wrap(module, "args_get", |_: u32, _: u32| SUCCESS)?
        .func_wrap(module, "clock_time_get", |mut cx: Cx<'_>, clock: u32, _precision: i64, out: u32| {
            errno(clock_time(&mut cx, clock, out))
        })?
        .func_wrap(module, "clock_res_get", |mut cx: Cx<'_>, _clock: u32, out: u32| {
            errno(split(&mut cx).and_then(|(memory, _)| put(memory, out, &1u64.to_le_bytes())).map(|()| SUCCESS))
        })?
        .func_wrap(module, "random_get", |mut cx: Cx<'_>, at: u32, length: u32| errno(random(&mut cx, at, length)))?
        .func_wrap(module, "sched_yield", || SUCCESS)?
        // Nothing ever happens: the Go runtime asks, and aborts on anything but 0.
        .func_wrap(module, "poll_oneoff", |mut cx: Cx<'_>, _: u32, _: u32, _: u32, out_events: u32| {
            errno(write_zeros(&mut cx, [out_events]))
        })?
        .func_wrap(module, "proc_exit", proc_exit)?
        .func_wrap(module, "proc_raise", |_: u32| NOTSUP)?;
    Ok(())
}

fn is_output(fd: u32) -> u32 {
    if fd == 1 || fd == 2 { SUCCESS } else { BADF }
}

fn link_files(linker: &mut Linker<State>, module: &str) -> wasmtime::Result<()> {
    linker
        .func_wrap(module, "fd_read", |_: u32, _: u32, _: u32, _: u32| ENOSYS)?
        .func_wrap(module, "fd_pread", |_: u32, _: u32, _: u32, _: i64, _: u32| ENOSYS)?
        .func_wrap(module, "fd_seek", |_: u32, _: i64, _: u32, _: u32| SUCCESS)?
        .func_wrap(module, "fd_close", |_: u32| SUCCESS)?
        .func_wrap(module, "fd_fdstat_set_flags", |_: u32, _: u32| ENOSYS)?
        .func_wrap(module, "fd_fdstat_set_rights", |fd: u32, _: i64, _: i64| is_output(fd))?
        .func_wrap(module, "fd_allocate", |fd: u32, _: i64, _: i64| is_output(fd))?
        .func_wrap(module, "fd_datasync", is_output)?
        .func_wrap(module, "fd_sync", is_output)?
        .func_wrap(module, "fd_filestat_set_size", |fd: u32, _: i64| is_output(fd))?
        .func_wrap(module, "fd_filestat_set_times", |fd: u32, _: i64, _: i64, _: u32| is_output(fd))?
        .func_wrap(module, "fd_tell", |fd: u32, _: u32| is_output(fd))?
        .func_wrap(module, "fd_filestat_get", |_: u32, _: u32| BADF)?
        .func_wrap(module, "fd_prestat_get", |_: u32, _: u32| BADF)?
        .func_wrap(module, "fd_prestat_dir_name", |_: u32, _: u32, _: u32| ENOSYS)?
        .func_wrap(module, "fd_advise", |_: u32, _: i64, _: i64, _: u32| SUCCESS)?
        .func_wrap(module, "fd_readdir", |mut cx: Cx<'_>, _: u32, _: u32, _: u32, _: i64, out_used: u32| {
            errno(write_zeros(&mut cx, [out_used]).map(|_| NOTDIR))
        })?
        .func_wrap(module, "fd_renumber", |_: u32, _: u32| BADF)?;
    Ok(())
}

fn link_paths_and_sockets(linker: &mut Linker<State>, module: &str) -> wasmtime::Result<()> {
    linker
        .func_wrap(module, "path_open", |_: u32, _: u32, _: u32, _: u32, _: u32, _: i64, _: i64, _: u32, _: u32| NOENT)?
        .func_wrap(module, "path_filestat_get", |_: u32, _: u32, _: u32, _: u32, _: u32| NOTSUP)?
        .func_wrap(module, "path_create_directory", |_: u32, _: u32, _: u32| NOTSUP)?
        .func_wrap(module, "path_filestat_set_times", |_: u32, _: u32, _: u32, _: u32, _: i64, _: i64, _: u32| NOTSUP)?
        .func_wrap(module, "path_link", |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| NOTSUP)?
        .func_wrap(module, "path_readlink", |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32| NOTSUP)?
        .func_wrap(module, "path_remove_directory", |_: u32, _: u32, _: u32| NOTSUP)?
        .func_wrap(module, "path_rename", |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32| NOTSUP)?
        .func_wrap(module, "path_symlink", |_: u32, _: u32, _: u32, _: u32, _: u32| NOTSUP)?
        .func_wrap(module, "path_unlink_file", |_: u32, _: u32, _: u32| NOTSUP)?
        .func_wrap(module, "sock_accept", |_: u32, _: u32, _: u32| NOTSUP)?
        .func_wrap(module, "sock_recv", |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32| NOTSUP)?
        .func_wrap(module, "sock_send", |_: u32, _: u32, _: u32, _: u32, _: u32| NOTSUP)?
        .func_wrap(module, "sock_shutdown", |_: u32, _: u32| NOTSUP)?;
    Ok(())
}

/// Standard output is a line at info, standard error one at error.
fn fd_write(cx: &mut Cx<'_>, fd: u32, parts: u32, count: u32, out_written: u32) -> Errno {
    let level = match fd {
        1 => Level::Info,
        2 => Level::Error,
        _ => return Ok(BADF),
    };
    if count > PARTS_MAX {
        return Ok(INVAL);
    }
    let (memory, state) = split(cx)?;
    let mut line = Vec::new();
    let mut written = 0u32;
    for part in 0..count {
        let word = |at: u32| -> Result<u32, super::Fail> {
            let bytes = slice(memory, at, 4)?.try_into();
            Ok(bytes.map_or(0, u32::from_le_bytes))
        };
        let at = parts.saturating_add(part.saturating_mul(8));
        let bytes = slice(memory, word(at)?, word(at.saturating_add(4))?)?;
        written = written.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let room = LINE_BYTES_MAX.saturating_sub(line.len());
        line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    put_u32(memory, out_written, written)?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    if !line.is_empty() {
        state.line(level, line);
    }
    Ok(SUCCESS)
}

fn fdstat(cx: &mut Cx<'_>, fd: u32, out: u32) -> Errno {
    if is_output(fd) != SUCCESS {
        return Ok(BADF);
    }
    let mut stat = [0; 24];
    stat[8] = 64; // fs_rights_base: FD_WRITE
    let (memory, _) = split(cx)?;
    put(memory, out, &stat)?;
    Ok(SUCCESS)
}

fn environ_sizes(cx: &mut Cx<'_>, out_count: u32, out_bytes: u32) -> Errno {
    let (memory, state) = split(cx)?;
    let environment = &state.plugin.settings.environment;
    let bytes: usize = environment.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    put_u32(memory, out_count, u32::try_from(environment.len()).unwrap_or(0))?;
    put_u32(memory, out_bytes, u32::try_from(bytes).unwrap_or(0))?;
    Ok(SUCCESS)
}

fn environ(cx: &mut Cx<'_>, mut pointers: u32, mut buffer: u32) -> Errno {
    let (memory, state) = split(cx)?;
    for (key, value) in &state.plugin.settings.environment {
        let entry = format!("{key}={value}\0");
        put_u32(memory, pointers, buffer)?;
        put(memory, buffer, entry.as_bytes())?;
        pointers = pointers.saturating_add(4);
        buffer = buffer.saturating_add(u32::try_from(entry.len()).unwrap_or(u32::MAX));
    }
    Ok(SUCCESS)
}

fn write_zeros<const N: usize>(cx: &mut Cx<'_>, places: [u32; N]) -> Errno {
    let (memory, _) = split(cx)?;
    for place in places {
        put_u32(memory, place, 0)?;
    }
    Ok(SUCCESS)
}

fn clock_time(cx: &mut Cx<'_>, clock: u32, out: u32) -> Errno {
    let now = match clock {
        0 => unix_nanoseconds(),
        1 => monotonic_nanoseconds(),
        _ => return Ok(NOTSUP),
    };
    let (memory, _) = split(cx)?;
    put(memory, out, &now.to_le_bytes())?;
    Ok(SUCCESS)
}

fn monotonic_nanoseconds() -> u64 {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let since = BEGAN.get_or_init(Instant::now).elapsed();
    // Never 0, which some runtimes take for "no clock".
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).saturating_add(1)
}

fn random(cx: &mut Cx<'_>, at: u32, length: u32) -> Errno {
    if length > RANDOM_BYTES_MAX {
        return Ok(INVAL);
    }
    let (memory, _) = split(cx)?;
    let end = (at as usize).checked_add(length as usize);
    let place = end.and_then(|end| memory.get_mut(at as usize..end));
    let place = place.ok_or(crate::filters::status::Status::InvalidMemoryAccess)?;
    if aws_lc_rs::rand::fill(place).is_err() {
        return Ok(ENOSYS);
    }
    Ok(SUCCESS)
}

/// A filter that exits has ended: the VM is thrown away. Within `_start`, 0 is its ordinary end.
fn proc_exit(cx: Cx<'_>, code: u32) -> wasmtime::Result<()> {
    if code == 0 && cx.data().phase == Phase::Initialize {
        return Err(wasmtime::Error::new(Exited));
    }
    Err(wasmtime::Error::msg(format!("proc_exit({code})")))
}

/// `_start` has ended by `proc_exit(0)`.
#[derive(Debug)]
pub(in crate::filters) struct Exited;

impl std::fmt::Display for Exited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("proc_exit(0)")
    }
}

impl std::error::Error for Exited {}
