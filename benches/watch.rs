//! What the watch costs, beside a stock controller of kube-rs: `cargo bench --bench watch [-- PODS…]`.
//!
//! An API server on loopback streams pods of the size that real ones have. Each measurement is a
//! process of its own: it lists, then the whole list again as after `410 Gone`, then follows 200
//! changes a second. It prints a table; no number is asserted, since machines differ.
//!
//! `-- --kubeconfig FILE` looks at a real cluster instead, as it is: what it takes to list it and to
//! follow what happens there. `--no-stock` leaves out the controller, which needs gigabytes.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people"
)]

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use kubemend::cluster::{Access, Cluster};

#[allow(dead_code, reason = "shared with the tests of the watch")]
#[path = "../tests/support/api_server.rs"]
mod api_server;
#[path = "watch/pods.rs"]
mod pods;
#[path = "watch/stock.rs"]
mod stock;

use api_server::{ApiServer, Fault};

const SIZES: [usize; 3] = [10_000, 50_000, 100_000];
const PODS: &str = "/api/v1/pods";
/// Changes a second.
const RATE: u32 = 200;
/// How long they are followed.
const FOLLOWED: Duration = Duration::from_secs(20);
/// Which watcher a child process is.
const ROLE: &str = "KUBEMEND_BENCH_WATCHER";

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match std::env::var(ROLE).as_deref() {
        Ok("stock") => return runtime.block_on(stock::run()),
        Ok(_) => return runtime.block_on(ours()),
        Err(_) => {}
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let stock = !words.iter().any(|w| w == "--no-stock");
    let watchers = ["kubemend", "stock"];
    let watchers = &watchers[..if stock { 2 } else { 1 }];
    println!("| pods | watcher | first list, CPU | RSS | peak | RSS after a relist | peak | CPU |");
    println!("|---|---|---|---|---|---|---|---|");
    if let Some(at) = words.iter().position(|w| w == "--kubeconfig") {
        for &watcher in watchers {
            let measured = Measured::start(watcher, words[at + 1].as_ref());
            let cpu = measured.share(|| std::thread::sleep(FOLLOWED));
            println!("| real | {watcher} | {measured} | | | {cpu} |");
        }
        return;
    }
    let given: Vec<usize> = words.iter().filter_map(|w| w.parse().ok()).collect();
    let sizes = if given.is_empty() { &SIZES[..] } else { &given };
    for &size in sizes {
        let server = runtime.block_on(ApiServer::start(36));
        for n in 0..size {
            server.world.put(PODS, pods::pod(n, 0));
        }
        for &watcher in watchers {
            let measured = Measured::start(watcher, server.kubeconfig.path());
            let ill = size.div_ceil(pods::ILL);
            assert_eq!(measured.seen, if watcher == "stock" { size } else { ill });
            print!("| {size} | {watcher} | {measured} | ");
            measured.list_again(&server);
            let cpu = measured.share(|| change(&server, size));
            println!("{} | {cpu} |", measured.memory());
        }
    }
}

/// The watch of `kubemend serve --watch`, and nothing else.
async fn ours() {
    let cluster = Cluster::connect(&Access::default()).await.unwrap();
    let watch = cluster.watch(SignedDuration::from_mins(1)).unwrap();
    watch.ready().await.unwrap();
    println!("{}", watch.signs().iter().map(|(_, n)| n).sum::<usize>());
    let due = async {
        loop {
            watch.due().await;
        }
    };
    tokio::select! {
        () = due => {}
        () = stdin_ends() => {}
    }
}

/// A child ends with its parent.
async fn stdin_ends() {
    let wait = || std::io::stdin().read_to_end(&mut Vec::new());
    let _ = tokio::task::spawn_blocking(wait).await;
}

/// A watcher that is measured; it ends with this value.
struct Measured {
    child: Child,
    /// Pods that look ill, or (the controller) all of them.
    seen: usize,
}

impl Measured {
    /// Starts it and waits until it has listed everything and is at rest.
    fn start(watcher: &str, kubeconfig: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(ROLE, watcher)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = said.next().unwrap().unwrap().parse().unwrap();
        let measured = Self { child, seen };
        measured.rest();
        measured
    }

    /// Lets it list everything again.
    fn list_again(&self, server: &ApiServer) {
        let lists = || server.world.streamed(PODS);
        let before = lists();
        server.world.fault(PODS, Fault::Gone);
        while lists() == before {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.rest();
    }

    /// Waits until it does next to nothing.
    fn rest(&self) {
        let mut used = self.spent();
        loop {
            std::thread::sleep(Duration::from_secs(2));
            let now = self.spent();
            if now - used < 0.05 {
                return;
            }
            used = now;
        }
    }

    /// Resident bytes, now and at most.
    fn memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let of = |field: &str| {
            let line = status.lines().find(|l| l.starts_with(field)).unwrap();
            let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            format!("{:.0} MB", kib * 1_024.0 / 1e6)
        };
        format!("{} | {}", of("VmRSS:"), of("VmHWM:"))
    }

    /// The share of one core that it takes meanwhile.
    fn share(&self, meanwhile: impl FnOnce()) -> String {
        let (start, before) = (Instant::now(), self.spent());
        meanwhile();
        let share = (self.spent() - before) / start.elapsed().as_secs_f64();
        format!("{:.1} %", share * 100.0)
    }

    /// Seconds of processor time, of all threads.
    fn spent(&self) -> f64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of = |thread: std::fs::DirEntry| -> Option<f64> {
            let schedule = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            schedule.split(' ').next()?.parse().ok()
        };
        threads.filter_map(Result::ok).filter_map(of).sum::<f64>() / 1e9
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s | {}", self.spent(), self.memory())
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Changes pods at the rate.
fn change(server: &ApiServer, size: usize) {
    let start = Instant::now();
    for n in 0.. {
        let due = Duration::from_secs(1) * n / RATE;
        if due > FOLLOWED {
            return;
        }
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        let n = n as usize;
        server.world.put(PODS, pods::pod(n * 7_919 % size, n));
    }
}
