//! The shapes of secrets. Linear-time expressions over bytes, without Unicode tables.

/// What a match must also satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// The shape says it all.
    Shape,
    /// It must look random too.
    Random,
    /// It stands beside a secret-like key.
    Keyed,
}

/// One shape. The first capture group that takes part is the secret, else the whole match.
#[derive(Debug)]
pub(super) struct Rule {
    pattern: &'static str,
    pub(super) check: Check,
}

impl Rule {
    /// The expression, with `KEY` spelled out.
    pub(super) fn pattern(&self) -> String {
        if self.pattern.contains("KEY~") {
            format!("(?i:{})", self.pattern.replace("KEY~", KEY))
        } else {
            self.pattern.to_owned()
        }
    }
}

const fn shape(pattern: &'static str) -> Rule {
    Rule {
        pattern,
        check: Check::Shape,
    }
}

const fn keyed(pattern: &'static str) -> Rule {
    Rule {
        pattern,
        check: Check::Keyed,
    }
}

/// The end of a key's name that says: what follows is secret.
pub(super) const KEY: &str = "(?:passw(?:or)?d|passwd|passphrase|passcode|pwd|secret|token|api[_.-]?key|access[_.-]?key(?:[_.-]?id)?|secret[_.-]?key|private[_.-]?key|encryption[_.-]?key|signing[_.-]?key|account[_.-]?key|shared[_.-]?access[_.-]?key|master[_.-]?key|auth[_.-]?key|license[_.-]?key|app[_.-]?key|credentials?|[_.-]auth|cookie[_.-]?secret|session[_.-]?id|bearer|jwt|salt|otp|(?:database|db|redis|mongo|mongodb|postgres|mysql|amqp|rabbitmq|broker)[_.-]?(?:url|uri|dsn)[_.-]?secret)";

/// Every rule.
pub(super) const RULES: &[Rule] = &[
    // -- clouds
    shape(r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    shape(r"\bAIza[0-9A-Za-z_-]{35}"),
    shape(r"\bya29\.[0-9A-Za-z_-]{20,}"),
    shape(r"\bGOCSPX-[0-9A-Za-z_-]{20,}"),
    shape(r"(?i:(?:AccountKey|SharedAccessKey|SharedSecretKey)=)([A-Za-z0-9+/]{30,}={0,2})"),
    shape(r"[?&;]sig=([A-Za-z0-9%+/]{30,}(?:%3[dD]|=){0,2})"),
    shape(r"\b[0-9A-Za-z_~.-]{3}[0-9]Q~[0-9A-Za-z_~.-]{31,34}"),
    shape(r"(?i:aws.{0,30}?secret.{0,30}?[=:]\s*['\x22]?)([A-Za-z0-9/+]{40})\b"),
    shape(r"\bLTAI[0-9A-Za-z]{17,21}\b"),
    shape(r"\bdo[opr]_v1_[0-9a-f]{64}\b"),
    shape(r"\bHRKU-[0-9A-Za-z_-]{30,}"),
    shape(r"\bFlyV1 fm[0-9A-Za-z_+/=,-]{30,}|\bfo1_[0-9A-Za-z_-]{43}"),
    shape(r"\bdapi[0-9a-f]{32}\b"),
    shape(r"\bAGE-SECRET-KEY-1[0-9A-Z]{58}"),
    shape(r"\bhv[sbr]\.[0-9A-Za-z_-]{20,}"),
    shape(r"\b[A-Za-z0-9]{14}\.atlasv1\.[0-9A-Za-z_=-]{60,}"),
    shape(r"\bnfp_[0-9A-Za-z]{30,}"),
    shape(r"\bp?scale_(?:tkn|pw|oauth)_[0-9A-Za-z_.-]{30,}"),
    shape(r"\bsbp_[0-9a-f]{40}\b"),
    // -- forges and package registries
    shape(r"\bgh[pousr]_[0-9A-Za-z]{30,}"),
    shape(r"\bgithub_pat_[0-9A-Za-z_]{22,}"),
    shape(r"\bgl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct)-[0-9A-Za-z_.-]{16,}"),
    shape(r"\bGR1348941[0-9A-Za-z_-]{20,}"),
    shape(r"\bAT(?:ATT3|CTT3|BB)[0-9A-Za-z_=-]{20,}"),
    shape(r"\bnpm_[0-9A-Za-z]{36}"),
    shape(r"\bpypi-AgE[0-9A-Za-z_-]{40,}"),
    shape(r"\brubygems_[0-9a-f]{48}\b"),
    shape(r"\bcio[0-9A-Za-z]{32}\b"),
    shape(r"\bdckr_(?:pat|oat)_[0-9A-Za-z_-]{20,}"),
    shape(r"\boy2[a-z0-9]{43}\b"),
    // -- chat, mail, payment
    shape(r"\bxox[abeoprs](?:\.xox[bp])?-[0-9A-Za-z-]{10,}"),
    shape(r"\bxapp-[0-9]-[0-9A-Za-z-]{20,}"),
    shape(r"hooks\.slack\.com/(?:services|workflows|triggers)/([0-9A-Za-z_/+-]{20,})"),
    shape(r"discord(?:app)?\.com/api/webhooks/([0-9]+/[0-9A-Za-z_-]{30,})"),
    shape(r"\bwebhook\.office\.com/webhookb2/([0-9A-Za-z@/_-]{30,})"),
    shape(r"\b[0-9]{8,10}:AA[0-9A-Za-z_-]{32,34}"),
    shape(r"\b[rsp]k_(?:live|test|prod)_[0-9A-Za-z]{16,}"),
    shape(r"\bwhsec_[0-9A-Za-z+/=]{24,}"),
    shape(r"\bsq0[a-z]{3}-[0-9A-Za-z_-]{22,}"),
    shape(r"\bSK[0-9a-f]{32}\b"),
    shape(r"\bSG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}"),
    shape(r"\bkey-[0-9a-f]{32}\b"),
    shape(r"\b[0-9a-f]{32}-us[0-9]{1,2}\b"),
    shape(r"\bxkeysib-[0-9a-f]{64}-[0-9A-Za-z]{16}"),
    shape(r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    // -- models
    shape(r"\bsk-(?:proj|ant|or-v1|svcacct|admin)-[0-9A-Za-z_-]{20,}"),
    Rule {
        pattern: r"\bsk-[0-9A-Za-z]{20,}",
        check: Check::Random,
    },
    shape(r"\bhf_[0-9A-Za-z]{30,}"),
    shape(r"\bapi_org_[0-9A-Za-z]{30,}"),
    shape(r"\bgsk_[0-9A-Za-z]{40,}"),
    shape(r"\b(?:xai|pplx)-[0-9A-Za-z]{40,}"),
    shape(r"\br8_[0-9A-Za-z]{30,}"),
    // -- observability and work tools
    shape(r"\bNR(?:AK|JS|II|RA|BR)-[0-9A-Za-z]{19,}"),
    shape(r"\bgl(?:c|sa)_[0-9A-Za-z+/_=-]{30,}"),
    shape(r"\bsntry[su]_[0-9A-Za-z+/_=-]{40,}"),
    shape(r"\bsq[apu]_[0-9a-f]{40}\b"),
    shape(r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    shape(r"\bfigd_[0-9A-Za-z_-]{30,}"),
    shape(r"\blin_(?:api|oauth)_[0-9A-Za-z]{32,}"),
    shape(r"\b(?:secret|ntn)_[0-9A-Za-z]{43,50}\b"),
    shape(r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.[0-9A-Za-z._-]{20,}"),
    shape(r"\bpat[0-9A-Za-z]{14}\.[0-9a-f]{64}"),
    shape(r"\bEAA[A-Z]{2}[0-9A-Za-z]{30,}"),
    shape(r"\bops_eyJ[0-9A-Za-z+/=_-]{50,}"),
    shape(r"\bA3-[A-Z0-9]{6}-[A-Z0-9]{6,11}-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}"),
    // -- general forms
    shape(r"\bey[JI][0-9A-Za-z_-]{8,}\.ey[JI][0-9A-Za-z_-]{8,}(?:\.[0-9A-Za-z_-]*)?"),
    shape(
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----([^-]+)(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----)?",
    ),
    shape(r"\b(?:LS0tLS1CRUdJTi[0-9A-Za-z+/=]{40,})"),
    shape(r"\$(?:2[abxy]|5|6|y|apr1|argon2id?)\$[0-9A-Za-z./$,=+-]{20,}"),
    shape(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s:/@'\x22]*:([^\s@/'\x22]+)@"),
    shape(
        r"(?i:\b(?:proxy-)?authorization['\x22]?\s*[:=]\s*['\x22]?(?:bearer|basic|token|digest|apikey|negotiate)\s+)([^\s'\x22,]+)",
    ),
    shape(r"(?i:\bbearer\s+)([0-9A-Za-z_.~+/-]{16,}=*)"),
    shape(r"(?i:\bbasic\s+)([0-9A-Za-z+/]{16,}=*)"),
    shape(r"(?i:\b(?:set-)?cookie['\x22]?[ \t]*[:=][ \t]*)([^\n]{8,})"),
    shape(
        r"(?i:\bx-(?:api-key|auth-token|vault-token|amz-security-token|goog-api-key|gitlab-token)['\x22]?[ \t]*[:=][ \t]*['\x22]?)([^\s'\x22,]+)",
    ),
    shape(r"\x22auths?\x22\s*:\s*\x22([0-9A-Za-z+/=]{8,})\x22"),
    shape(r"(?i:\bidentified\s+by\s+)'([^'\n]+)'"),
    // -- by the name of the key
    keyed(
        r#"KEY~\\?["']?[ \t]{0,4}(?:=|:=|=>|:)[ \t]{0,4}(?:\\?"([^"\\\n]+)|'([^'\n]+)'|([^\s"',;&\]})\\]+))"#,
    ),
    keyed(r#"--[a-z0-9.-]{0,40}?KEY~["']?[ \t]+["']?([^\s"',;-][^\s"',;]*)"#),
    keyed(r#"--[a-z0-9.-]{0,40}?KEY~["']?,?\s{0,4}\n\s*-?\s*["']?([^\s"',;-][^\s"',;]*)"#),
    keyed(
        r#"name["']?\s{0,4}:\s{0,4}["']?[a-z0-9_.-]{0,60}?KEY~["']?,?\s+["']?value["']?\s{0,4}:\s{0,4}(?:"([^"\n]+)"|'([^'\n]+)'|([^\s"',}\n][^\n]*))"#,
    ),
    keyed(
        r#""name"\s{0,4}:\s{0,4}"[a-z0-9_.-]{0,60}?KEY~"\s{0,4},\s{0,4}"value"\s{0,4}:\s{0,4}"([^"\n]+)""#,
    ),
    Rule {
        pattern: r"KEY~[^\n]{0,24}?[^0-9A-Za-z+/_=]([0-9A-Za-z+/_=]{20,})",
        check: Check::Random,
    },
];
