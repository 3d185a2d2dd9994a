//! How connections end, by either driver: what was written leaves, what is lost is no clean end, and every
//! descriptor comes back.

use std::io::{ErrorKind, Read, Write};
use std::pin::Pin;
use std::time::Duration;

use lockgate::io::worker::Workers;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use super::{PATIENCE, drivers, far_side, on_each, pair, pattern, settle};

#[test]
fn what_was_written_leaves_although_the_handle_is_dropped() {
    on_each(|driver| {
        let (mut far, near) = pair();
        Box::new(move || {
            Box::pin(async move {
                let mut tcp = settle(near, driver);
                tcp.write_all(b"last words").await.unwrap();
                drop(tcp);
                let read = tokio::task::spawn_blocking(move || {
                    let mut got = String::new();
                    far.read_to_string(&mut got).map(|_| got)
                });
                assert_eq!(read.await.unwrap().unwrap(), "last words");
            })
        })
    });
}

#[test]
fn what_was_written_leaves_although_the_worker_ends() {
    for driver in drivers() {
        let (mut far, near) = pair();
        let (workers, joiner) = Workers::start("seam-end", 1, driver).unwrap();
        let (wrote, written) = std::sync::mpsc::channel();
        workers
            .run(0, move || {
                tokio::task::spawn_local(async move {
                    let mut tcp = settle(near, driver);
                    tcp.write_all(&pattern(5000)).await.unwrap();
                    wrote.send(()).unwrap();
                });
            })
            .unwrap();
        written.recv_timeout(PATIENCE).unwrap();
        drop(workers);
        let mut got = Vec::new();
        far.read_to_end(&mut got).unwrap();
        assert!(got == pattern(5000), "{driver:?}: {} bytes", got.len());
        joiner.join();
    }
}

#[test]
fn an_end_waits_for_no_peer_and_loses_nothing() {
    on_each(|driver| {
        let (mut far, near) = pair();
        Box::new(move || {
            Box::pin(async move {
                let mut tcp = settle(near, driver);
                let mut written = 0;
                let fill = async {
                    loop {
                        written += tcp.write(&[3; 1000]).await.unwrap();
                    }
                };
                let _ = tokio::time::timeout(Duration::from_millis(700), fill).await;
                tcp.shutdown().await.unwrap(); // the peer has read nothing yet
                drop(tcp);
                let read = tokio::task::spawn_blocking(move || {
                    let mut got = Vec::new();
                    far.read_to_end(&mut got).map(|_| got.len())
                });
                assert_eq!(read.await.unwrap().unwrap(), written);
            })
        })
    });
}

#[test]
fn an_end_is_noticed_although_nobody_has_asked() {
    // As a pool looks at an idle backend connection: once, and takes "nothing" for an answer.
    for length in [100, 4096, 4196, 20_000, 100_000] {
        on_each(|driver| {
            let (mut far, near) = pair();
            Box::new(move || {
                Box::pin(async move {
                    let mut tcp = settle(near, driver);
                    let upload = far_side(move || far.write_all(&pattern(length)).map(|()| far).unwrap());
                    let mut all = vec![0; length];
                    tcp.read_exact(&mut all).await.unwrap();
                    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                    let look = |cx: &mut _| Pin::new(&mut tcp).poll_read(cx, &mut ReadBuf::new(&mut [0; 8])).is_ready();
                    drop(upload.join().unwrap());
                    let mut look = look;
                    // sleep: looking would itself ask the kernel, and what must be noticed is what nobody asked for
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    // One look may find out that there was more to read; it is the second that must know.
                    let noticed = look(&mut cx) || {
                        tokio::task::yield_now().await;
                        look(&mut cx)
                    };
                    assert!(noticed, "{length} bytes, then an end that nobody saw");
                })
            })
        });
    }
}

#[test]
fn an_aborted_connection_is_reset_not_ended() {
    on_each(|driver| {
        let (mut far, near) = pair();
        Box::new(move || {
            Box::pin(async move {
                let tcp = settle(near, driver);
                tcp.reset_on_close();
                drop(tcp);
                let read = tokio::task::spawn_blocking(move || far.read(&mut [0; 8]));
                assert_eq!(read.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
            })
        })
    });
}

#[test]
fn a_peers_reset_is_an_error_of_the_read() {
    on_each(|driver| {
        let (far, near) = pair();
        Box::new(move || {
            Box::pin(async move {
                let mut tcp = settle(near, driver);
                let read = tokio::task::spawn_local(async move { tcp.read(&mut [0; 8]).await });
                tokio::task::yield_now().await;
                socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
                drop(far);
                assert_eq!(read.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
            })
        })
    });
}

#[test]
fn a_worker_gives_every_descriptor_back() {
    let open = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    for driver in drivers() {
        let mut far_ends = Vec::new();
        let (workers, joiner) = Workers::start("seam-fds", 1, driver).unwrap();
        for _ in 0..200 {
            let (far, near) = pair();
            far_ends.push(far);
            workers
                .run(0, move || {
                    tokio::task::spawn_local(async move {
                        let mut tcp = settle(near, driver);
                        tcp.write_all(b"hello").await.unwrap();
                        let _ = tcp.read(&mut [0; 8]).await; // pending when the worker ends
                    });
                })
                .unwrap();
        }
        for far in &mut far_ends {
            far.read_exact(&mut [0; 5]).unwrap();
        }
        let before = open();
        drop(workers);
        joiner.join();
        for far in &mut far_ends {
            assert_eq!(far.read(&mut [0; 8]).unwrap_or(0), 0, "{driver:?}: the far end is told");
        }
        // Other tests open and close beside this one; 200 descriptors cannot hide among theirs.
        assert!(open() + 100 < before, "{driver:?}: {} descriptors before, {} after", before, open());
    }
}
