//! A real control plane on loopback: etcd, API server, controllers, scheduler, and kwok in place of
//! kubelets; with it, if wanted, Flux and Argo CD.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

use crate::faults::has_condition;
use crate::kubectl::{Kubectl, PATIENCE};
use crate::kubelet::Kubelets;
use crate::process::Process;
use crate::registry::Registry;
use crate::{disks, engines, shop, stages};

/// Pause between two questions to a health endpoint.
pub const POLL: Duration = Duration::from_millis(50);
pub const TOKEN: &str = "administrator-of-a-test";
/// Everything that needs no cloud.
const CONTROLLERS: &str = "--controllers=*,-node-ipam-controller,-node-route-controller,\
-cloud-node-lifecycle-controller,-service-lb-controller,-bootstrap-signer-controller,-token-cleaner-controller";

/// What is started besides the core.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extras {
    pub flux: bool,
    pub argo: bool,
}

/// A running cluster; all of it ends with this value.
pub struct Plane {
    pub kubectl: Kubectl,
    pub server: String,
    processes: Mutex<Vec<Process>>,
    /// Whether the reader's kubeconfig is there.
    reader: Mutex<bool>,
    /// What the simulated kubelets can run.
    pub registry: Arc<RwLock<Registry>>,
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    bin: PathBuf,
    folder: PathBuf,
}

impl Plane {
    /// Starts everything; returns when every part says that it is ready.
    pub fn start(
        bin: &Path,
        kubectl: &Path,
        folder: &Path,
        extras: Extras,
    ) -> Result<Self, String> {
        let [api] = ports()?;
        let plane = Self {
            kubectl: Kubectl {
                program: kubectl.to_owned(),
                config: folder.join("admin.yaml"),
            },
            server: format!("https://127.0.0.1:{api}"),
            processes: Mutex::default(),
            reader: Mutex::default(),
            registry: Arc::default(),
            runtime: runtime()?,
            http: client()?,
            bin: bin.to_owned(),
            folder: folder.to_owned(),
        };
        let started = plane.start_core(api).and_then(|()| {
            if extras.flux {
                engines::start_flux(&plane)?;
            }
            if extras.argo {
                engines::start_argo(&plane)?;
            }
            Ok(())
        });
        match started {
            Ok(()) => Ok(plane),
            Err(e) => Err(format!("{e}\n{}", plane.tails())),
        }
    }

    /// A kubeconfig with the rights of `deploy/base/rbac.yaml`.
    pub fn reader(&self) -> Result<PathBuf, String> {
        let file = self.file("reader.yaml");
        let mut made = self.reader.lock().unwrap();
        if !*made {
            let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base");
            for file in ["namespace.yaml", "rbac.yaml"] {
                let rights = std::fs::read_to_string(base.join(file)).map_err(|e| e.to_string())?;
                self.kubectl.apply(None, &rights)?;
            }
            self.account("kubemend", "kubemend", &file)?;
            *made = true;
        }
        Ok(file)
    }

    /// A kubeconfig of a service account.
    pub fn reader_as(&self, namespace: &str, account: &str) -> Result<PathBuf, String> {
        let file = self.file(&format!("{account}.yaml"));
        self.account(namespace, account, &file)?;
        Ok(file)
    }

    fn account(&self, namespace: &str, account: &str, file: &Path) -> Result<(), String> {
        let token = ["create", "token", account, "-n", namespace];
        let token = self.kubectl.run(&token)?;
        write(file, &self.config().replace(TOKEN, token.trim()))
    }

    /// The end of every log.
    pub fn tails(&self) -> String {
        let processes = self.processes.lock().unwrap();
        processes.iter().map(Process::tail).collect()
    }

    /// Where a file of this cluster lies.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A program that was built.
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.bin.join(name))
    }

    /// Where the programs are.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// What tests run asynchronous servers on.
    pub fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }

    pub fn spawn(&self, name: &str, command: &Command) -> Result<(), String> {
        let process = Process::start(name, &self.folder, command)?;
        self.processes.lock().unwrap().push(process);
        Ok(())
    }

    /// Kills the API server without a warning, and starts it again.
    pub fn restart_api_server(&self) -> Result<(), String> {
        let mut processes = self.processes.lock().unwrap();
        let mut all = processes.iter_mut();
        let found = all.find(|p| p.name() == "kube-apiserver");
        found.ok_or("no API server")?.restart()?;
        drop(processes);
        self.ready(&format!("{}/readyz", self.server))
    }

    /// Asks a health endpoint until it answers well; ends early when a program ends.
    pub fn ready(&self, url: &str) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let answer = self
                .runtime
                .block_on(async { self.http.get(url).send().await });
            if answer.is_ok_and(|a| a.status().is_success()) {
                return Ok(());
            }
            let mut processes = self.processes.lock().unwrap();
            if let Some(ended) = processes
                .iter_mut()
                .find_map(|p| (!p.is_alive()).then(|| p.name().to_owned()))
            {
                return Err(format!("{url} will not answer: {ended} ended"));
            }
            drop(processes);
            self.runtime
                .block_on(async { tokio::time::sleep(POLL).await });
        }
        Err(format!("{url} is not ready"))
    }

    fn start_core(&self, api: u16) -> Result<(), String> {
        let [etcd, peer, controllers, scheduler, kwok] = ports()?;
        write(
            &self.file("tokens.csv"),
            &format!("{TOKEN},admin,1,\"system:masters\"\n"),
        )?;
        let (private, public) = account_keys()?;
        write(&self.file("accounts.key"), &private)?;
        write(&self.file("accounts.pub"), &public)?;
        write(&self.kubectl.config, &self.config())?;

        let url = |port| format!("http://127.0.0.1:{port}");
        let mut command = self.program("etcd");
        command.arg("--data-dir").arg(self.file("etcd")).args([
            "--name=one".to_owned(),
            "--unsafe-no-fsync".to_owned(),
            format!("--listen-client-urls={}", url(etcd)),
            format!("--advertise-client-urls={}", url(etcd)),
            format!("--listen-peer-urls={}", url(peer)),
            format!("--initial-advertise-peer-urls={}", url(peer)),
            format!("--initial-cluster=one={}", url(peer)),
        ]);
        self.spawn("etcd", &command)?;
        let mut command = self.program("kube-apiserver");
        command.args([
            format!("--etcd-servers={}", url(etcd)),
            format!("--secure-port={api}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/20".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            self.flag("--cert-dir", "api"),
            self.flag("--token-auth-file", "tokens.csv"),
            self.flag("--service-account-key-file", "accounts.pub"),
            self.flag("--service-account-signing-key-file", "accounts.key"),
        ]);
        self.spawn("kube-apiserver", &command)?;
        self.ready(&format!("{}/readyz", self.server))?;

        let config = self.flag("--kubeconfig", "admin.yaml");
        let mut command = self.program("kube-controller-manager");
        command.args([
            &config,
            &format!("--secure-port={controllers}"),
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            &self.flag("--service-account-private-key-file", "accounts.key"),
            &self.flag("--root-ca-file", "api/apiserver.crt"),
            CONTROLLERS,
        ]);
        self.spawn("kube-controller-manager", &command)?;
        let mut command = self.program("kube-scheduler");
        command.args([
            &config,
            &format!("--secure-port={scheduler}"),
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ]);
        self.spawn("kube-scheduler", &command)?;
        write(&self.file("stages.yaml"), &stages::of_nodes())?;
        let mut command = self.program("kwok");
        command.args([
            &config,
            &self.flag("--config", "stages.yaml"),
            "--manage-all-nodes=true",
            "--node-ip=127.0.0.1",
            &format!("--node-port={kwok}"),
            &format!("--server-address=127.0.0.1:{kwok}"),
            "--cidr=10.1.0.1/16",
            "--node-lease-duration-seconds=40",
            &self.flag("--tls-cert-file", "api/apiserver.crt"),
            &self.flag("--tls-private-key-file", "api/apiserver.key"),
        ]);
        self.spawn("kwok", &command)?;
        self.kubectl.apply(None, &stages::nodes(3))?;
        self.ready(&format!("https://127.0.0.1:{controllers}/healthz"))?;
        self.ready(&format!("https://127.0.0.1:{scheduler}/readyz"))?;
        self.ready(&format!("{}/healthz", url(kwok)))?;
        self.start_kubelets()?;
        let is_ready = |node: &serde_json::Value| has_condition(node, "Ready", "True");
        self.kubectl
            .wait("default", "nodes", "a node is ready", is_ready)?;
        Ok(())
    }

    fn start_kubelets(&self) -> Result<(), String> {
        let client = self.runtime.block_on(async {
            let config = Kubeconfig::read_from(&self.kubectl.config).map_err(|e| e.to_string())?;
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(config, &options).await;
            let config = config.map_err(|e| e.to_string())?;
            kube::Client::try_from(config).map_err(|e| e.to_string())
        })?;
        self.runtime.spawn(disks::run(client.clone()));
        let kubelets = Kubelets::new(client, Arc::clone(&self.registry));
        self.runtime.spawn(kubelets.run());
        Ok(())
    }

    /// Applies the definitions of custom resources of some modules, and waits until they are served.
    pub fn definitions(&self, prefix: &str, leave_out: &[&str]) -> Result<(), String> {
        let folders = fs::read_dir(self.bin.join("crds")).map_err(|e| e.to_string())?;
        let folders = folders.filter_map(Result::ok);
        let ours = folders.filter(|f| f.file_name().to_string_lossy().starts_with(prefix));
        let files = ours.filter_map(|f| fs::read_dir(f.path()).ok()).flatten();
        for file in files.filter_map(Result::ok).map(|f| f.path()) {
            let file = shop::path(&file)?;
            if leave_out.iter().any(|name| file.ends_with(name)) {
                continue;
            }
            self.kubectl.run(&["apply", "--server-side", "-f", file])?;
            let name = self.kubectl.run(&["get", "-f", file, "-o", "name"])?;
            self.established(name.trim())?;
        }
        Ok(())
    }

    /// `kubectl wait` fails at once on a definition that has no conditions yet, so it is asked again.
    fn established(&self, definition: &str) -> Result<(), String> {
        let condition = "--for=condition=Established";
        let end = Instant::now() + PATIENCE;
        loop {
            let asked = ["wait", condition, "--timeout=30s", definition];
            match self.kubectl.run(&asked) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => std::thread::sleep(POLL),
            }
        }
    }

    fn flag(&self, name: &str, file: &str) -> String {
        format!("{name}={}", self.file(file).display())
    }

    fn config(&self) -> String {
        let (server, authority) = (&self.server, self.file("api/apiserver.crt"));
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]\n\
             users: [{{name: admin, user: {{token: {TOKEN}}}}}]\n\
             clusters:\n- name: test\n  cluster: {{server: '{server}', certificate-authority: '{}'}}\n",
            authority.display()
        )
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        // last started, first ended: nobody complains about an API server that went away
        let mut processes = self.processes.lock().unwrap();
        while processes.pop().is_some() {}
    }
}

/// Ports that are free now.
pub fn ports<const N: usize>() -> Result<[u16; N], String> {
    let bind = |_| TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string());
    let held: Vec<TcpListener> = (0..N).map(bind).collect::<Result<_, _>>()?;
    let port = |l: &TcpListener| l.local_addr().map(|a| a.port()).map_err(|e| e.to_string());
    let ports: Vec<u16> = held.iter().map(port).collect::<Result<_, _>>()?;
    ports.try_into().map_err(|_| "no ports".to_owned())
}

pub fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let built = builder.worker_threads(2).enable_all().build();
    built.map_err(|e| e.to_string())
}

/// A client that believes any certificate: all it talks to are programs of its own on loopback.
fn client() -> Result<reqwest::Client, String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().danger_accept_invalid_certs(true);
    client.no_proxy().build().map_err(|e| e.to_string())
}

/// A key for the tokens of service accounts: the one that signs, and the one that checks.
fn account_keys() -> Result<(String, String), String> {
    use ring::signature::KeyPair as _;
    // what stands in front of a point on P-256 in a SubjectPublicKeyInfo
    const HEAD: &[u8] = &[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let none = |_| "no key".to_owned();
    let random = ring::rand::SystemRandom::new();
    let algorithm = &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let document =
        ring::signature::EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(none)?;
    let pair = ring::signature::EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random)
        .map_err(|e| e.to_string())?;
    let public = [HEAD, pair.public_key().as_ref()].concat();
    Ok((
        pem("PRIVATE KEY", document.as_ref()),
        pem("PUBLIC KEY", &public),
    ))
}

fn pem(kind: &str, bytes: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .filter_map(|l| std::str::from_utf8(l).ok())
        .collect();
    format!(
        "-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n",
        lines.join("\n")
    )
}
