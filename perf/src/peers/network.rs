//! Two network namespaces with a bad line between them: every packet is late by half the round trip, and
//! one in so many is lost. For kernels without netem, in user space.
//!
//! ```text
//!   near 10.232.0.1 ── TUN ──▶ perf relay: lose or hold ──▶ TUN ── far 10.232.0.2
//!   clients, edge                                            connector, backend
//! ```
//!
//! It refuses to reorder: the line is late, not mixed up. What it loses is decided by a fixed seed.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::children::{LOAD_CORE, Nursery, Running, ask};

const NEAR_IP: Ipv4Addr = Ipv4Addr::new(10, 232, 0, 1);
const FAR_IP: Ipv4Addr = Ipv4Addr::new(10, 232, 0, 2);

/// One way: 10 ms and 10 ms back are a round trip of 20.
const DELAY: Duration = Duration::from_millis(10);

/// One packet in so many is lost, each way.
const LOST_ONE_IN: u64 = 100;

const PACKET_BYTES_MAX: usize = 64 * 1024;

/// The two namespaces and the process between them; gone when dropped.
pub struct Network {
    near: String,
    far: String,
    relay: Option<Running>,
}

impl Network {
    /// Makes both and joins them.
    pub fn open(nursery: &Nursery) -> Result<Self, String> {
        let name = |side: &str| format!("lockgate-perf-{}-{side}", std::process::id());
        let mut network = Self { near: name("near"), far: name("far"), relay: None };
        for space in [&network.near, &network.far] {
            nursery.remove_namespace_at_end(space);
            ip(&["netns", "add", space])?;
            ip(&["-n", space, "link", "set", "lo", "up"])?;
        }
        let this = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
        let devices = ["near", "far"].map(|side| format!("lgp{side}{}", std::process::id() % 10_000));
        let mut relay = nursery.start("relay", LOAD_CORE, &this, |command| {
            command.arg("relay").args(&devices);
        })?;
        relay.line("ready", Duration::from_secs(5)).map_err(|error| format!("relay: {error}"))?;
        network.relay = Some(relay);
        for (device, space, address) in [(&devices[0], &network.near, NEAR_IP), (&devices[1], &network.far, FAR_IP)] {
            ip(&["link", "set", device, "netns", space])?;
            ip(&["-n", space, "address", "add", &format!("{address}/24"), "dev", device])?;
            ip(&["-n", space, "link", "set", device, "mtu", "1500", "up"])?;
        }
        Ok(network)
    }

    pub fn near(&self) -> &str {
        &self.near
    }

    pub fn far(&self) -> &str {
        &self.far
    }

    pub fn near_ip(&self) -> IpAddr {
        NEAR_IP.into()
    }

    pub fn far_ip(&self) -> IpAddr {
        FAR_IP.into()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.relay.take());
        for space in [&self.near, &self.far] {
            let _ = ip(&["netns", "delete", space]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = ask(Path::new("ip"), arguments)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// The process between the two: carries packets between the devices named until it is ended.
pub fn relay(arguments: &[String]) -> Result<(), String> {
    let [near, far] = arguments else { return Err("relay takes two arguments: the names of devices".into()) };
    let open = |name: &String| -> Result<Arc<SyncDevice>, String> {
        let device = DeviceBuilder::new().name(name).layer(Layer::L3).build_sync();
        device.map(Arc::new).map_err(|error| format!("{name}: {error}"))
    };
    let (near, far) = (open(near)?, open(far)?);
    println!("ready");
    std::thread::scope(|scope| {
        for (from, to, seed) in [(&near, &far, 1), (&far, &near, 2)] {
            let (late, due) = channel();
            scope.spawn(move || take(from, &late, seed));
            scope.spawn(move || give(to, &due));
        }
    });
    Ok(())
}

/// Reads packets, loses some, and notes when the others are due.
fn take(from: &SyncDevice, late: &Sender<(Instant, Vec<u8>)>, seed: u64) {
    let mut packet = vec![0; PACKET_BYTES_MAX];
    let mut chance = Chance(seed);
    // While the device is between two namespaces it is down, and reading fails for a moment.
    loop {
        match from.recv(&mut packet) {
            Ok(_) if chance.next().is_multiple_of(LOST_ONE_IN) => {}
            Ok(count) => {
                if late.send((Instant::now() + DELAY, packet[..count].to_vec())).is_err() {
                    return;
                }
            }
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Writes packets when they are due.
fn give(to: &SyncDevice, due: &Receiver<(Instant, Vec<u8>)>) {
    for (at, packet) in due {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        // A device that is down loses packets, as lines do.
        let _ = to.send(&packet);
    }
}

/// xorshift: enough to lose packets by.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_hundred_is_lost() {
        let mut chance = Chance(1);
        let lost = (0..100_000).filter(|_| chance.next().is_multiple_of(LOST_ONE_IN)).count();
        assert!((900..1100).contains(&lost), "{lost}");
    }
}
