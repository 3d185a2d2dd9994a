//! The contract of `io::tcp::Tcp`, held by each driver: whole bytes in order, back-pressure, endings,
//! and what becomes of a socket whose handle goes away.

mod endings;

use std::future::Future;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::pin::Pin;
use std::time::Duration;

use lockgate::io::tcp::Tcp;
use lockgate::io::worker::{Driver, Workers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATIENCE: Duration = Duration::from_secs(20);

/// Whether this kernel lets us have a ring; without, its half of the contract cannot be judged here.
fn drivers() -> Vec<Driver> {
    let ring = Workers::start("seam-probe", 1, Driver::Uring).map(|(workers, joiner)| {
        drop(workers);
        joiner.join();
    });
    match ring {
        Ok(()) => vec![Driver::Reactor, Driver::Uring],
        Err(_) => vec![Driver::Reactor],
    }
}

type Local = Pin<Box<dyn Future<Output = ()>>>;

/// Runs `work` on a worker of every driver, and the worker to its end.
fn on_each(work: impl Fn(Driver) -> Box<dyn FnOnce() -> Local + Send>) {
    for driver in drivers() {
        let (workers, joiner) = Workers::start("seam", 1, driver).unwrap();
        let (done, finished) = std::sync::mpsc::channel();
        let job = work(driver);
        workers
            .run(0, move || {
                tokio::task::spawn_local(async move {
                    tokio::time::timeout(PATIENCE, job()).await.expect("in time");
                    let _ = done.send(());
                });
            })
            .unwrap();
        finished.recv_timeout(PATIENCE * 2).unwrap_or_else(|_| panic!("{driver:?}: the work failed"));
        drop(workers);
        joiner.join();
    }
}

/// Two ends of a connection: a thread's, and the one to settle on a worker.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (near, _) = listener.accept().unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    far.set_write_timeout(Some(PATIENCE)).unwrap();
    near.set_nonblocking(true).unwrap();
    (far, near)
}

fn settle(near: TcpStream, driver: Driver) -> Tcp {
    let tcp = Tcp::from(tokio::net::TcpStream::from_std(near).unwrap()).settle().unwrap();
    assert_eq!(matches!(tcp, Tcp::Ring(_)), driver == Driver::Uring);
    tcp
}

/// Bytes that tell where they belong.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

/// A thread that runs one side of a conversation.
fn far_side<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> std::thread::JoinHandle<R> {
    std::thread::spawn(work)
}

#[test]
fn messages_and_bulk_arrive_whole_and_in_order() {
    // Below, at and above every border: a gathered write, a buffer of the ring, an inbox, a window.
    for length in [1, 2047, 2048, 4095, 4096, 4097, 8192, 8193, 65_536, 65_537, 3_000_000] {
        on_each(|driver| {
            let (mut far, near) = pair();
            let sent = pattern(length);
            let echoed = sent.clone();
            let peer = far_side(move || {
                let mut got = Vec::new();
                let writer = far.try_clone().unwrap();
                let upload = far_side(move || {
                    (&writer).write_all(&echoed).unwrap();
                    writer.shutdown(Shutdown::Write).unwrap();
                });
                far.read_to_end(&mut got).unwrap();
                upload.join().unwrap();
                assert!(got == pattern(length), "{length} bytes came back changed");
            });
            Box::new(move || {
                Box::pin(async move {
                    let (mut read, mut write) = tokio::io::split(settle(near, driver));
                    let echo = tokio::task::spawn_local(async move {
                        let (mut all, mut buffer) = (Vec::new(), vec![0; 10_000]);
                        loop {
                            let count = read.read(&mut buffer).await.unwrap();
                            if count == 0 {
                                break;
                            }
                            all.extend_from_slice(&buffer[..count]);
                            write.write_all(&buffer[..count]).await.unwrap();
                        }
                        write.shutdown().await.unwrap();
                        all
                    });
                    assert!(echo.await.unwrap() == sent, "{length} bytes arrived changed");
                    tokio::task::spawn_blocking(move || peer.join().unwrap()).await.unwrap();
                })
            })
        });
    }
}

#[test]
fn many_small_writes_of_one_turn_keep_their_order() {
    on_each(|driver| {
        let (mut far, near) = pair();
        let reader = far_side(move || {
            let mut got = Vec::new();
            far.read_to_end(&mut got).unwrap();
            got
        });
        Box::new(move || {
            Box::pin(async move {
                let mut tcp = settle(near, driver);
                let all = pattern(300_000);
                let mut rest = &all[..];
                for size in [1, 700, 9000, 3, 20_000].into_iter().cycle() {
                    let (now, later) = rest.split_at(size.min(rest.len()));
                    tcp.write_all(now).await.unwrap();
                    rest = later;
                    if rest.is_empty() {
                        break;
                    }
                }
                tcp.shutdown().await.unwrap();
                drop(tcp);
                let got = tokio::task::spawn_blocking(move || reader.join().unwrap()).await.unwrap();
                assert!(got == all);
            })
        })
    });
}

#[test]
fn a_peer_that_reads_nothing_stops_its_writer() {
    on_each(|driver| {
        let (far, near) = pair();
        Box::new(move || {
            Box::pin(async move {
                let mut tcp = settle(near, driver);
                let piece = vec![7; 4000];
                let mut taken = 0usize;
                let stalled = async {
                    loop {
                        tcp.write_all(&piece).await.unwrap();
                        taken += piece.len();
                        assert!(taken < 64 << 20, "64 MiB went to a peer that reads nothing");
                    }
                };
                let _ = tokio::time::timeout(Duration::from_millis(700), stalled).await;
                // It goes on when the peer does.
                let reader = far_side(move || std::io::copy(&mut (&far), &mut std::io::sink()).unwrap());
                tcp.write_all(&piece).await.unwrap();
                tcp.shutdown().await.unwrap();
                let read = tokio::task::spawn_blocking(move || reader.join().unwrap()).await.unwrap();
                // `write_all` was cut somewhere within a piece.
                assert!(read >= (taken + piece.len()) as u64 && read <= (taken + 2 * piece.len()) as u64);
            })
        })
    });
}

#[test]
fn sockets_that_nobody_reads_take_no_buffers_from_the_others() {
    // More unread messages than the ring has buffers; a reader beside them must not notice.
    on_each(|driver| {
        let unread: Vec<_> = (0..700).map(|_| pair()).collect();
        let (mut far, near) = pair();
        Box::new(move || {
            Box::pin(async move {
                let mut kept = Vec::new();
                for (mut far, near) in unread {
                    let tcp = settle(near, driver);
                    // A reader asks once and then stays away.
                    let asked = std::future::poll_fn(|cx| std::task::Poll::Ready(tcp.poll_readable(cx))).await;
                    assert!(asked.is_pending());
                    tokio::task::yield_now().await;
                    far.write_all(&[1; 6000]).unwrap();
                    kept.push((far, tcp));
                }
                let mut tcp = settle(near, driver);
                for round in 0..200u32 {
                    far.write_all(&round.to_be_bytes()).unwrap();
                    assert_eq!(tcp.read_u32().await.unwrap(), round);
                }
                for (_, tcp) in &mut kept {
                    let mut all = [0; 6000];
                    tcp.read_exact(&mut all).await.unwrap();
                    assert!(all == [1; 6000]);
                }
            })
        })
    });
}

#[test]
fn a_busy_pair_lets_others_have_their_turn() {
    on_each(|driver| {
        let ((from, near_from), (to, near_to)) = (pair(), pair());
        let (mut quiet, near_quiet) = pair();
        Box::new(move || {
            Box::pin(async move {
                let flood = far_side(move || {
                    let mut sent = 0u64;
                    while let Ok(count) = (&from).write(&[9; 65_536]) {
                        sent += count as u64;
                    }
                    sent
                });
                let sink = far_side(move || std::io::copy(&mut (&to), &mut std::io::sink()).unwrap_or(0));
                let (mut source, mut target) = (settle(near_from, driver), settle(near_to, driver));
                let pump = tokio::task::spawn_local(async move {
                    let _ =
                        tokio::io::copy_buf(&mut tokio::io::BufReader::with_capacity(65_536, &mut source), &mut target)
                            .await;
                });
                let mut tcp = settle(near_quiet, driver);
                for round in 0..50u32 {
                    quiet.write_all(&round.to_be_bytes()).unwrap();
                    assert_eq!(tcp.read_u32().await.unwrap(), round);
                }
                pump.abort();
                let _ = pump.await;
                tokio::task::spawn_blocking(move || (flood.join(), sink.join())).await.unwrap().0.unwrap();
            })
        })
    });
}
