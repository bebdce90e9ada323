//! Stable codes of refusals, questions and blocked changes, each with a sentence and a next step.
//!
//! `kubemend explain CODE` prints an entry. Codes are public: they appear in the JSON output, in
//! pull requests and in logs, and never change their meaning.

use std::fmt;

/// Declares [`Code`], its text form, and the table behind `explain`.
macro_rules! codes {
    ($($name:ident: $sentence:literal, $next:literal;)+) => {
        /// Why kubemend refused, asked, or blocked.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $sentence] $name,)+
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What it means, one sentence.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)+ }
            }

            /// What to do next, one sentence.
            pub fn next_step(self) -> &'static str {
                match self { $(Self::$name => $next,)+ }
            }
        }
    };
}

codes! {
    // -- locate
    NotManaged: "The object is in no manifest of this repository.", "Point --repo at the repository that defines it, or accept that it is not managed by Git.";
    RepoNotConfigured: "The source of the controller's object is another repository.", "Run kubemend on that repository.";
    PinnedRevision: "The source follows a tag or a commit, so a merge to the branch would not be applied.", "Move the pin by hand.";
    HydratedBranch: "The path is the output of a hydrator.", "Change the dry source.";
    NotRendered: "The object is not in the rendered output of the root.", "Check the root and the revision.";
    RenderFailed: "The renderer ended with an error.", "Mend the error that the tool reports.";
    AnchorMismatch: "The value in Git is not the value in the cluster, so something else writes it.", "Find the other writer (managedFields, a webhook, a person) first.";
    PendingSync: "Git already differs from what the cluster runs.", "Wait for the sync, then look again.";
    OtherFieldManager: "Another controller owns the field.", "Change that controller's configuration.";
    InjectedContainer: "The container is not in the template; an admission webhook injected it.", "Change the injector's configuration.";
    UnknownWriter: "No line of the sources could be proven to write the field.", "Change it by hand, or add a mapping.";
    RemoteBase: "The value comes from a base outside the repository.", "Add a patch in the overlay by hand.";
    GeneratedFile: "The file is the committed output of a generator.", "Change the generator's source.";
    SharedBase: "The line feeds more than one root, and an edit there would change them all.", "Decide between an overlay patch and a change of the base.";
    AppSetFanOut: "The template feeds several Applications.", "Change the generator's file.";
    AnchoredYaml: "The place is behind a YAML anchor, alias or merge key.", "Expand the alias, or change it by hand.";
    Templated: "The text is a template, not a literal.", "Change the source of the variable.";
    SopsEncrypted: "The file or value is encrypted.", "Change it by hand with sops.";
    ImageAutomation: "A robot owns the line (image policy setter).", "Change the ImagePolicy.";
    ChartUnavailable: "The Helm chart or a dependency is not at hand.", "Vendor the chart.";
    CrdNoFieldMap: "The object is made by an operator, and no map from its fields to the custom resource is known.", "Change the custom resource by hand.";
    PluginSource: "The source is rendered by a plugin, jsonnet or another generator.", "Change it by hand.";
    RendererMissing: "kustomize (or kubectl) is needed to prove the place, and was not found.", "Install kustomize or kubectl, or set its path in the configuration.";
    NotYetSupported: "This version cannot locate this kind of source yet.", "Change it by hand.";
    Ambiguous: "Several places fit equally well.", "Say which, by narrowing --repo, --namespace or the report.";
    NotVerifiable: "The edit would change something else as well, or could not be proven.", "Change it by hand; the difference is in the message.";
    PathNotAllowed: "The file is outside the allowed paths.", "Change `allow` or `deny` in the configuration.";
    AlreadyFixed: "Git already holds the wanted value.", "Wait for the sync.";
    // -- edit
    InputTooLarge: "The input is over a size limit.", "Split the file.";
    NotUtf8: "The file is not UTF-8 text.", "Convert the file to UTF-8.";
    MixedLineEndings: "The file mixes line endings at the place of the edit.", "Normalise the line endings in a change of its own.";
    NotYaml: "The document is not valid YAML.", "Mend the syntax error that the message names.";
    ReadersDisagree: "Two YAML readers understand the document differently.", "Rewrite the construct that the message names.";
    DuplicateKeys: "A mapping holds the same key twice.", "Remove one of the two.";
    AmbiguousScalar: "A value means different things to different YAML readers.", "Quote it.";
    PathNotFound: "The path is not in the document.", "Check the path; the nearest existing one is in the message.";
    KeyExists: "The key to add exists already.", "Plan a change instead of an addition.";
    StaleTarget: "The value in the file is not the one that the plan was made for.", "Run again.";
    UnsupportedShape: "The YAML at this place has a shape that is not edited by machine.", "Make the edit by hand.";
    CommentLoss: "The edit would lose a comment.", "Make the edit by hand.";
    // -- propose
    NoSafeFix: "No playbook and no model has a fix that is safe.", "Read the evidence and decide.";
    ApplicationFault: "The application itself fails; no manifest field is at fault.", "Take the error to the owners of the application.";
    InfrastructureFault: "The cluster or something outside it fails; no manifest field is at fault.", "Mend what the message names outside this repository.";
    NothingWrong: "Nothing wrong was found with the named object.", "Give a complete dump, logs, or a more precise report.";
    OwnerDecision: "Several fixes are right by different wishes.", "Choose one of the options.";
    MissingValue: "A fact is missing that only a person has.", "Supply the value.";
    MissingSecretInput: "A Secret or one of its keys has to be supplied out of band.", "Create it (ExternalSecret, SealedSecret, by hand); kubemend never writes secrets.";
    UnknownExistence: "The dump does not list objects of this kind, so nobody can say whether one exists.", "Give a complete dump; the command is in `kubemend fix --help`.";
    NoSuchOption: "The question has no such option (any more).", "Choose one of the options that the question lists now.";
    OptionByHand: "The chosen option is no change that kubemend can make.", "Make it by hand, then close the question.";
    ModelUnusable: "The model's answer is cut, too long, or not in the required form.", "Run again, or use another model.";
    ModelRefused: "The model refused to answer.", "Read the evidence and decide.";
    BudgetSpent: "The operator's budget of model calls for this hour or day is spent.", "Wait, or raise `model.calls_per_hour` or `model.calls_per_day`.";
    RolloutHeld: "The update strategy keeps the failing pods on an earlier template: OnDelete, or a partition.", "Do what the message says: delete the pods, or lower the partition.";
    // -- lock
    NotUnlocked: "The change is outside what this class of incident may change.", "Make it by hand if it is right.";
    OutOfBounds: "The value is outside the bounds of this class of incident.", "Make it by hand if it is right.";
    PlaybookOnly: "Only a playbook may propose this change, from facts alone.", "Make it by hand if it is right.";
    ForbiddenByRule: "A guardrail rule forbids the change.", "Read the rule; a person may still make the change by hand.";
    LockedField: "The field is an invariant.", "Make it by hand if it is right.";
    ProtectedNamespace: "The namespace is protected.", "Make the change by hand.";
    IgnoredByConfig: "The repository's configuration says that this is never proposed.", "Change `ignore` or `rules` in its configuration.";
    InternalFault: "kubemend itself failed on this finding; the other findings were handled.", "Report it with the dump; nothing was changed.";
    // -- a guardrail rule that a fix would break; the rule is in the message
    BlockedReplicas: "Changing replicas from or to 0, or by more than the bounds, needs a person (D01).", "Change replicas by hand if that is meant.";
    BlockedRbac: "Roles and bindings are never changed by kubemend (F01, F02).", "Change the Role or RoleBinding by hand.";
    BlockedNetworkPolicy: "Network policies are never changed by kubemend (E01).", "Change the NetworkPolicy by hand.";
    BlockedSecret: "Secrets are never changed by kubemend (B06, B08).", "Change it by hand.";
    BlockedNewObject: "kubemend never creates or deletes objects (G02, G03).", "Create or delete it by hand.";
    BlockedProbeRemoval: "A probe is never removed by kubemend (D04).", "Remove it by hand if that is meant.";
    BlockedQuota: "Quotas and limit ranges are never changed by kubemend (D22).", "Change the quota by hand.";
    BlockedImmutable: "The field is immutable in the API server (G04, G09 to G15).", "Re-create the object by hand.";
    BlockedSecurity: "Security settings are never loosened by kubemend (group A).", "Change it by hand if that is meant.";
    BlockedIdentity: "Names, namespaces and kinds are never changed by kubemend (G01).", "Rename it by hand.";
    BlockedTemplate: "Helm templates are never changed by kubemend (J09).", "Change the template by hand.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Code {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let same = |c: &&Self| c.as_str().eq_ignore_ascii_case(text);
        Self::ALL.iter().find(same).copied().ok_or(())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

/// An ending without a change: a stable code, the reason with facts, and what a person does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// The reason, with the facts of this very case; no final period needed.
    pub message: String,
}

impl Refusal {
    /// A refusal from its code and reason.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}
