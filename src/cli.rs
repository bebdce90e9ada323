//! What the user types. No syscalls, no derived values.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// From a failing workload to a proven change in Git.
#[derive(Debug, Parser)]
#[command(
    name = "kubemend",
    version,
    about,
    propagate_version = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Colours: `auto` (when a terminal is there), `always`, `never`.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// No progress on standard error.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// When a terminal is there and NO_COLOR is not set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// One pass: diagnosis, proven diff and pull-request text from a cluster dump and a repository.
    Fix(Box<Fix>),
    /// Findings in manifests alone, without a cluster; each that can be mended with its proven fix.
    Scan(Scan),
    /// Look after repositories on GitHub: at each webhook delivery, and again and again.
    Serve(Box<Serve>),
    /// Open a pull request that takes a merged fix of kubemend back.
    Rollback(Rollback),
    /// Where in Git a field of an object is written, with the decision trail.
    Locate(Locate),
    /// Run cases with a known answer and print how they ended.
    Eval(Eval),
    /// The whole flow on an embedded broken sample: no cluster, no forge, no key.
    Demo(Demo),
    /// What a refusal or block code means, and what to do; without a code, all of them.
    Explain(Explain),
    /// The entry point of the GitHub Action; reads the environment of a workflow.
    Action(Box<Action>),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the definition of the custom resource in which `serve` keeps its records.
    Crd,
    /// Shell completions.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// The public JSON contract (schema/fix.schema.json).
    Json,
    /// Only the unified diff, for `git apply`.
    Patch,
}

/// Text or JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TextOrJson {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Who proposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProposerChoice {
    /// The built-in playbook alone.
    Playbook,
    /// The model alone.
    Model,
    /// The playbook first, then the model.
    Both,
}

/// The lowest severity that makes the exit code 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Never.
    Never,
    /// Any finding.
    Low,
    /// Degraded, or worse.
    Medium,
    /// Not running or not serving, or worse.
    High,
    /// Several workloads, or data.
    Critical,
}

const DUMP_HELP: &str = "A complete dump, so that what is missing can be told from what was not asked for:

  kubectl get all,events,configmaps,secrets,persistentvolumeclaims,persistentvolumes,storageclasses,\\
nodes,namespaces,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,\\
networkpolicies,ingresses,endpointslices,resourcequotas,limitranges,\\
horizontalpodautoscalers,poddisruptionbudgets,controllerrevisions -A -o yaml > dump.yaml

Values of Secrets are dropped while reading. `kubectl cluster-info dump --output-directory DIR` folders work too.
Logs go into files named <namespace>_<pod>_<container>[_previous].log in a `logs` folder beside the dump, or with --logs.

Exit codes: 0 fine; 1 findings at or above --fail-on; 2 usage, configuration or unusable input;
3 the model does not answer, or, with --open, GitHub.";

/// `kubemend fix`.
#[derive(Debug, Args)]
#[command(after_long_help = DUMP_HELP, after_help = DUMP_HELP)]
pub struct Fix {
    /// The manifest repository: the root of a Git repository (its HEAD is read), or a plain folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub repo: PathBuf,
    /// The cluster: `kubectl get … -o yaml|json` output, or a folder of such files.
    #[arg(long, value_name = "FILE|DIR", required_unless_present = "live")]
    pub snapshot: Option<PathBuf>,
    /// Container logs, one file each.
    #[arg(long, value_name = "DIR", requires = "snapshot")]
    pub logs: Option<PathBuf>,
    /// Read the cluster as it is now, instead of a dump. It is only read, and no Secret is.
    #[arg(long, conflicts_with = "snapshot")]
    pub live: bool,
    /// How to reach the cluster, for --live.
    #[command(flatten, next_help_heading = "Cluster, for --live")]
    pub reach: Reach,
    /// What started this run: a file with `kind`, `namespace`, `time`, `text`.
    #[arg(long, value_name = "FILE", conflicts_with = "report")]
    pub trigger: Option<PathBuf>,
    /// What a person or an alert says, or a tool's error message.
    #[arg(long, value_name = "TEXT")]
    pub report: Option<String>,
    /// Namespace of manifests that name none.
    #[arg(long, short, value_name = "NS")]
    pub namespace: Option<String>,
    /// The moment of the snapshot, RFC 3339; by default the newest time in it.
    #[arg(long, value_name = "TIME")]
    pub now: Option<jiff::Timestamp>,
    /// How results are printed.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Write each fix as a commit on a branch of its own. HEAD, index and work tree stay as they are.
    #[arg(long)]
    pub commit: bool,
    /// Open pull requests and questions on GitHub, bring those that are there up to date, and answer
    /// commands. HEAD must be the head of the base branch on GitHub, and `origin` that repository.
    #[arg(long, conflicts_with_all = ["commit", "output"])]
    pub open: bool,
    /// With --open: say what would be done, and write nothing.
    #[arg(long, requires = "open")]
    pub dry_run: bool,
    /// With --open: the cluster's name; tells its findings from those of another one.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub cluster: String,
    /// The lowest severity that makes the exit code 1.
    #[arg(long, value_enum, default_value_t = FailOn::Never)]
    pub fail_on: FailOn,
    /// Settings of the forge, for --open.
    #[command(flatten, next_help_heading = "GitHub, for --open")]
    pub forge: ForgeArgs,
    /// Settings shared with other commands.
    #[command(flatten, next_help_heading = "Operator")]
    pub operator: Operator,
    /// Settings of the proposer.
    #[command(flatten, next_help_heading = "Proposer")]
    pub proposer: ProposerArgs,
}

const SCAN_HELP: &str = "What is applied together is looked at together: what one kustomize root renders, or what one folder
of plain files holds. A name counts as missing only where nothing in the repository may define it.

Silence a finding with a comment on its line, above it, or at the top of its document:
  # kubemend:ignore unknown-field the operator reads it
or with `pull_requests.ignore` in .github/kubemend.yaml. `kubemend explain RULE` tells about a rule.

Exit codes: 0 fine; 1 findings at or above --fail-on; 2 usage, configuration or unusable input.";

/// `kubemend scan`.
#[derive(Debug, Args)]
#[command(after_long_help = SCAN_HELP, after_help = SCAN_HELP)]
pub struct Scan {
    /// The manifest repository: the root of a Git repository (its HEAD is read), or a plain folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub repo: PathBuf,
    /// Only findings in these files: `apps/**`, `*.yaml`, or a folder. References are still looked
    /// up in the whole repository.
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    pub paths: Vec<String>,
    /// The version of Kubernetes that the manifests are for.
    #[arg(long, value_name = "VERSION", default_value = crate::schema::VERSION)]
    pub target_version: crate::scan::Version,
    /// How results are printed.
    #[arg(long, short, value_enum, default_value_t = ScanOutput::Text)]
    pub output: ScanOutput,
    /// The lowest severity that makes the exit code 1.
    #[arg(long, value_enum, default_value_t = FailOn::Never)]
    pub fail_on: FailOn,
    /// What to do with proven fixes.
    #[arg(long, value_enum)]
    pub fix: Option<ScanFix>,
    /// Namespace of manifests that name none.
    #[arg(long, short, value_name = "NS")]
    pub namespace: Option<String>,
    /// Settings shared with other commands.
    #[command(flatten)]
    pub operator: Operator,
}

/// How a scan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScanOutput {
    /// For people.
    Text,
    /// The public JSON contract (schema/scan.schema.json).
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// GitHub workflow commands: annotations of the lines.
    Github,
}

/// What to do with proven fixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScanFix {
    /// Print only their unified diff, for `git apply`.
    Patch,
    /// Write each as a commit on a branch of its own. HEAD, index and work tree stay as they are.
    Commit,
}

/// What the operator sets.
#[derive(Debug, Args)]
pub struct Operator {
    /// The operator's configuration; without it the repository's own file counts.
    #[arg(long, value_name = "FILE", env = "KUBEMEND_CONFIG")]
    pub config: Option<PathBuf>,
    /// kustomize or kubectl; by default the first one on PATH.
    #[arg(long, value_name = "PATH", env = "KUBEMEND_RENDERER")]
    pub renderer: Option<PathBuf>,
}

/// Who proposes, and with which model.
#[derive(Debug, Args)]
pub struct ProposerArgs {
    /// Who proposes; by default the playbook, then the model where one is configured.
    #[arg(long, value_enum, default_value_t = ProposerChoice::Both)]
    pub proposer: ProposerChoice,
    /// The model's name; the configuration's by default.
    #[arg(long, value_name = "NAME", env = "KUBEMEND_MODEL")]
    pub model: Option<String>,
    /// Base URL of an OpenAI-compatible endpoint.
    #[arg(long, value_name = "URL", env = "OPENAI_BASE_URL")]
    pub base_url: Option<String>,
    /// Write every request and answer of the model into this folder.
    #[arg(long, value_name = "DIR", conflicts_with = "replay")]
    pub record: Option<PathBuf>,
    /// Answer from a folder that --record wrote, without network.
    #[arg(long, value_name = "DIR")]
    pub replay: Option<PathBuf>,
}

/// Which repository on the forge, and as whom. Shared by `fix`, `serve` and `action`. Tokens and
/// keys come from the environment or from files, never from flags.
#[derive(Debug, Args)]
pub struct ForgeArgs {
    /// The repository on GitHub; several are separated by commas.
    #[arg(
        long = "github-repo",
        value_name = "OWNER/NAME",
        env = "GITHUB_REPOSITORY",
        value_delimiter = ','
    )]
    pub github_repo: Vec<String>,
    /// Base URL of the REST API: `https://HOST/api/v3` for GitHub Enterprise Server.
    #[arg(long, value_name = "URL", env = "GITHUB_API_URL")]
    pub github_api_url: Option<String>,
    /// A file with the token; by default the token is the value of GITHUB_TOKEN.
    #[arg(long, value_name = "FILE", env = "GITHUB_TOKEN_FILE")]
    pub github_token_file: Option<String>,
    /// The GitHub App's id or client id.
    #[arg(long, value_name = "ID", env = "KUBEMEND_APP_ID")]
    pub app_id: Option<String>,
    /// A file with the App's private key (PEM); by default the key is the value of KUBEMEND_APP_KEY.
    #[arg(long, value_name = "FILE", env = "KUBEMEND_APP_KEY_FILE")]
    pub app_key_file: Option<String>,
    /// The App's installation; found by the repository when absent.
    #[arg(long, value_name = "ID", env = "KUBEMEND_INSTALLATION_ID")]
    pub installation_id: Option<String>,
    /// A file with the key that signs hidden markers; by default the key is the value of
    /// KUBEMEND_MARKER_KEY. Of several, separated by commas, the first signs and each is believed.
    /// Without one, what a marker says is only a hint.
    #[arg(long, value_name = "FILE", env = "KUBEMEND_MARKER_KEY_FILE")]
    pub marker_key_file: Option<String>,
}

const ACTION_HELP: &str = "Everything comes from the environment, as action.yml sets it; an empty variable is an absent one.
Files and outputs: GITHUB_EVENT_PATH, GITHUB_OUTPUT, GITHUB_STEP_SUMMARY.

Exit codes: 0 fine, or nothing to do; 1 findings at or above fail-on; 2 usage or configuration;
3 GitHub or the model does not answer.";

/// `kubemend action`. Texts, so that an input which a workflow leaves out (an empty variable) is
/// told apart from a wrong one.
#[derive(Debug, Args)]
#[command(after_long_help = ACTION_HELP, after_help = ACTION_HELP)]
pub struct Action {
    /// `propose`, `validate` or `review`.
    #[arg(long, env = "KUBEMEND_MODE")]
    pub mode: Option<String>,
    /// Where the repository is, below the workspace.
    #[arg(long, env = "KUBEMEND_PATH")]
    pub path: Option<String>,
    /// Only these files: globs, one a line or separated by commas.
    #[arg(long, env = "KUBEMEND_PATHS")]
    pub paths: Option<String>,
    /// The version of Kubernetes that the manifests are for.
    #[arg(long, env = "KUBEMEND_TARGET_VERSION")]
    pub target_version: Option<String>,
    /// Open pull requests at most; the operator's cap still counts.
    #[arg(long, env = "KUBEMEND_MAX_PRS")]
    pub max_prs: Option<String>,
    /// `auto`, `always` or `never`.
    #[arg(long, env = "KUBEMEND_DRAFT")]
    pub draft: Option<String>,
    /// `never`, `error`, `warning`, or a severity.
    #[arg(long, env = "KUBEMEND_FAIL_ON")]
    pub fail_on: Option<String>,
    /// `true`: look only.
    #[arg(long, env = "KUBEMEND_DRY_RUN")]
    pub dry_run: Option<String>,
    /// Where to write SARIF (validate and review).
    #[arg(long, env = "KUBEMEND_SARIF")]
    pub sarif: Option<String>,
    /// A dump of the cluster.
    #[arg(long, env = "KUBEMEND_SNAPSHOT")]
    pub snapshot: Option<String>,
    /// Its logs.
    #[arg(long, env = "KUBEMEND_LOGS")]
    pub logs: Option<String>,
    /// The name of the dump's cluster.
    #[arg(long, env = "KUBEMEND_CLUSTER")]
    pub cluster: Option<String>,
    /// Namespace of manifests that name none.
    #[arg(long, env = "KUBEMEND_NAMESPACE")]
    pub namespace: Option<String>,
    /// What a person reports (workflow_dispatch).
    #[arg(long, env = "KUBEMEND_REPORT")]
    pub report: Option<String>,
    /// The operator's configuration.
    #[arg(long, env = "KUBEMEND_CONFIG")]
    pub config: Option<String>,
    /// kustomize or kubectl.
    #[arg(long, env = "KUBEMEND_RENDERER")]
    pub renderer: Option<String>,
    /// The model's name.
    #[arg(long, env = "KUBEMEND_MODEL")]
    pub model: Option<String>,
    /// Base URL of an OpenAI-compatible endpoint.
    #[arg(long, env = "OPENAI_BASE_URL")]
    pub base_url: Option<String>,
    /// `true`: the token is the workflow's own, so its pull requests start no workflow.
    #[arg(long, env = "KUBEMEND_DEFAULT_TOKEN")]
    pub default_token: Option<String>,
    /// The event's name.
    #[arg(long, env = "GITHUB_EVENT_NAME")]
    pub event_name: Option<String>,
    /// A file with the event.
    #[arg(long, env = "GITHUB_EVENT_PATH")]
    pub event_path: Option<String>,
    /// The ref that started the workflow.
    #[arg(long = "ref", env = "GITHUB_REF")]
    pub reference: Option<String>,
    /// The checkout.
    #[arg(long, env = "GITHUB_WORKSPACE")]
    pub workspace: Option<String>,
    /// Base URL of the website.
    #[arg(long, env = "GITHUB_SERVER_URL")]
    pub server_url: Option<String>,
    /// The file that takes outputs.
    #[arg(long, env = "GITHUB_OUTPUT")]
    pub output: Option<String>,
    /// The file that takes the job summary.
    #[arg(long, env = "GITHUB_STEP_SUMMARY")]
    pub step_summary: Option<String>,
    /// The repository, and as whom.
    #[command(flatten)]
    pub forge: ForgeArgs,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

const SERVE_HELP: &str = "Routes: POST /webhook/github, GET /healthz, /readyz, /metrics. Let only the first one be reached from outside.

Set the webhook to content type application/json, with a secret, and these events: issue comments, issues,
pull requests, pull request reviews, pull request review comments, pushes, repositories.
Deliveries only wake the worker: what gets lost is found by the next sweep (--sweep).

Secrets come from the environment or from files: GITHUB_TOKEN, or KUBEMEND_APP_ID and KUBEMEND_APP_KEY_FILE;
KUBEMEND_WEBHOOK_SECRET (two, separated by a comma, while it is changed); KUBEMEND_MARKER_KEY.

SIGTERM and SIGINT end it; running passes may finish within --drain.";

/// `kubemend serve`.
#[derive(Debug, Args)]
#[command(after_long_help = SERVE_HELP)]
pub struct Serve {
    /// Where to listen.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "KUBEMEND_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: std::net::SocketAddr,
    /// A file with the webhook's secret; by default it is the value of KUBEMEND_WEBHOOK_SECRET.
    #[arg(long, value_name = "FILE", env = "KUBEMEND_WEBHOOK_SECRET_FILE")]
    pub webhook_secret_file: Option<String>,
    /// No webhook: look at all repositories this often, like `2m`.
    #[arg(long, value_name = "INTERVAL", value_parser = interval, conflicts_with = "webhook_secret_file")]
    pub poll: Option<std::time::Duration>,
    /// How often all repositories are looked at, whatever was delivered.
    #[arg(long, value_name = "INTERVAL", value_parser = interval, default_value = "15m")]
    pub sweep: std::time::Duration,
    /// Repositories that are worked on at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub workers: u8,
    /// How long running passes may take to end when the server is stopped.
    #[arg(long, value_name = "INTERVAL", value_parser = interval, default_value = "25s")]
    pub drain: std::time::Duration,
    /// A folder for copies of the repositories; nothing else may use it.
    #[arg(long, value_name = "DIR", env = "KUBEMEND_CACHE")]
    pub cache: Option<PathBuf>,
    /// Where the repositories are cloned from; by default the host of the API.
    #[arg(long, value_name = "URL", env = "GITHUB_SERVER_URL")]
    pub github_server_url: Option<String>,
    /// How many commits of history are looked at; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub history: u32,
    /// The largest repository, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1_024)]
    pub max_repository: u32,
    /// The cluster: `kubectl get … -o yaml|json` output, or a folder of such files, read again for
    /// each pass. Without it only manifests are looked at.
    #[arg(long, value_name = "FILE|DIR")]
    pub snapshot: Option<PathBuf>,
    /// Container logs, one file each.
    #[arg(long, value_name = "DIR", requires = "snapshot")]
    pub logs: Option<PathBuf>,
    /// Watch the cluster. Nothing of it is changed.
    #[arg(long, conflicts_with = "snapshot", env = "KUBEMEND_WATCH")]
    pub watch: bool,
    /// With --watch: how long something must look ill before it is looked at.
    #[arg(long, value_name = "INTERVAL", value_parser = interval, default_value = "2m")]
    pub failure_age: std::time::Duration,
    /// With --watch: the Lease by which replicas agree who makes the passes. Without it, run one.
    #[arg(long, value_name = "NAME", requires = "watch", env = "KUBEMEND_LEASE")]
    pub lease: Option<String>,
    /// With --watch: kubemend's own namespace, for its Lease and its records; by default the pod's.
    #[arg(
        long,
        value_name = "NS",
        requires = "watch",
        env = "KUBEMEND_LEASE_NAMESPACE"
    )]
    pub lease_namespace: Option<String>,
    /// How to reach the cluster, for --watch.
    #[command(flatten, next_help_heading = "Cluster, for --watch")]
    pub reach: Reach,
    /// The cluster's name; tells its findings from those of another one.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub cluster: String,
    /// Namespace of manifests that name none.
    #[arg(long, short, value_name = "NS")]
    pub namespace: Option<String>,
    /// Ask a repository that has no configuration by a pull request first (`onboarding` of the
    /// operator's file): nothing else is written there until it is merged.
    #[arg(long)]
    pub onboard: bool,
    /// Look only: nothing is written on GitHub.
    #[arg(long)]
    pub dry_run: bool,
    /// How logs are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// A collector of traces (OTLP over HTTP), like `http://localhost:4318`.
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Settings of the forge.
    #[command(flatten, next_help_heading = "GitHub")]
    pub forge: ForgeArgs,
    /// Settings shared with other commands.
    #[command(flatten, next_help_heading = "Operator")]
    pub operator: Operator,
    /// Settings of the proposer.
    #[command(flatten, next_help_heading = "Proposer")]
    pub proposer: ProposerArgs,
}

const ROLLBACK_HELP: &str = "The same as `/kubemend revert` in a comment on the merged pull request. Only what that pull request changed
is undone, on the current head of its base branch; where somebody changed the same lines since, it is refused.
While the revert is open or merged, the fix is not proposed again. kubemend never merges.

Examples:
  kubemend rollback --github-repo acme/gitops 12
  kubemend rollback --github-repo acme/gitops deployment/shop/web --dry-run

Exit codes: 0 opened (or it was open already); 2 nothing to take back, or refused; 3 GitHub does not answer.";

/// `kubemend rollback`.
#[derive(Debug, Args)]
#[command(after_long_help = ROLLBACK_HELP, after_help = ROLLBACK_HELP)]
pub struct Rollback {
    /// The pull request (12), the fingerprint of the finding, or KIND/NAMESPACE/NAME: the fix that
    /// was merged last.
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// Only tell which one is meant.
    #[arg(long)]
    pub dry_run: bool,
    /// A clone at the head of the base branch: the way back is proven by rendering it, and not only by
    /// comparing files.
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// Settings shared with other commands.
    #[command(flatten)]
    pub operator: Operator,
    /// Settings of the forge.
    #[command(flatten, next_help_heading = "GitHub")]
    pub forge: ForgeArgs,
}

/// How to reach a live cluster.
#[derive(Debug, Args)]
pub struct Reach {
    /// How to reach the cluster; by default as kubectl does, else as the pod's service account.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespaces that are read; by default all.
    #[arg(
        long,
        value_name = "NS,…",
        value_delimiter = ',',
        env = "KUBEMEND_NAMESPACES"
    )]
    pub namespaces: Vec<String>,
}

/// `90s`, `15m`, `1h 30m`: at least a second, at most a week.
fn interval(text: &str) -> Result<std::time::Duration, String> {
    let parsed: jiff::SignedDuration = text
        .parse()
        .map_err(|_| "expected a number with its unit, like `90s`, `15m` or `1h 30m`".to_owned())?;
    let week = jiff::SignedDuration::from_hours(7 * 24);
    if parsed < jiff::SignedDuration::from_secs(1) || parsed > week {
        return Err("between one second and a week".to_owned());
    }
    Ok(parsed.unsigned_abs())
}

/// `kubemend locate`.
#[derive(Debug, Args)]
pub struct Locate {
    /// The object, as KIND/NAME.
    #[arg(value_name = "KIND/NAME")]
    pub object: String,
    /// Its namespace.
    #[arg(long, short, value_name = "NS")]
    pub namespace: Option<String>,
    /// The field: `spec.template.spec.containers[name=web].image`.
    #[arg(long, value_name = "PATH")]
    pub field: crate::path::FieldPath,
    /// The manifest repository.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub repo: PathBuf,
    /// How the result is printed.
    #[arg(long, short, value_enum, default_value_t = TextOrJson::Text)]
    pub output: TextOrJson,
    /// Settings shared with other commands.
    #[command(flatten)]
    pub operator: Operator,
}

/// `kubemend eval`.
#[derive(Debug, Args)]
pub struct Eval {
    /// A folder of case folders.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Who proposes.
    #[arg(long, value_enum, default_value_t = EvalProposer::Playbook)]
    pub proposer: EvalProposer,
    /// Only cases whose name contains this.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// How often each case is run; more than once shows how steady a model is.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub runs: u8,
    /// How the result is printed.
    #[arg(long, short, value_enum, default_value_t = TextOrJson::Text)]
    pub output: TextOrJson,
    /// Settings shared with other commands.
    #[command(flatten)]
    pub operator: Operator,
    /// The model's name.
    #[arg(long, value_name = "NAME", env = "KUBEMEND_MODEL")]
    pub model: Option<String>,
    /// Base URL of an OpenAI-compatible endpoint.
    #[arg(long, value_name = "URL", env = "OPENAI_BASE_URL")]
    pub base_url: Option<String>,
    /// Write every request and answer of the model into this folder.
    #[arg(long, value_name = "DIR", conflicts_with = "replay")]
    pub record: Option<PathBuf>,
    /// Answer from a folder that --record wrote, without network.
    #[arg(long, value_name = "DIR")]
    pub replay: Option<PathBuf>,
}

/// Who proposes in an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EvalProposer {
    /// The built-in playbook.
    Playbook,
    /// The model.
    Model,
    /// The case's own answer, treated as untrusted: measures locate, lock and edit alone.
    Oracle,
}

/// `kubemend demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Write the sample repository and dump here, and leave them for a closer look.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Show the complete text of each pull request, question and refusal.
    #[arg(long)]
    pub full: bool,
    /// kustomize or kubectl; by default the first one on PATH.
    #[arg(long, value_name = "PATH", env = "KUBEMEND_RENDERER")]
    pub renderer: Option<PathBuf>,
}

/// `kubemend explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The code, row or rule, in any case: `SharedBase`, `OOMKilled`, `D07`, `KM101`.
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}

/// `kubemend config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check a configuration: strictly, with line and column.
    Check {
        /// The file; by default the one of the repository.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// The manifest repository, when no file is given.
        #[arg(long, value_name = "DIR", default_value = ".", conflicts_with = "file")]
        repo: PathBuf,
        /// The operator's configuration, whose caps count.
        #[arg(
            long,
            value_name = "FILE",
            env = "KUBEMEND_CONFIG",
            conflicts_with = "file"
        )]
        config: Option<PathBuf>,
        /// Remarks (files that are not read, values over a cap) count as errors.
        #[arg(long)]
        strict: bool,
    },
    /// Print the JSON schema of the configuration.
    Schema,
    /// Print the configuration that counts: defaults, operator, repository, caps.
    Print {
        /// The manifest repository.
        #[arg(long, value_name = "DIR", default_value = ".")]
        repo: PathBuf,
        /// The operator's configuration.
        #[arg(long, value_name = "FILE", env = "KUBEMEND_CONFIG")]
        config: Option<PathBuf>,
    },
}
