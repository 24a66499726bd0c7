"""The rules: tokens that their form gives away, and places where commands and files take a password or a key.

A form is what the token's issuer documents, and many are those that gitleaks and detect-secrets list too. Every pattern
takes linear time (`tests/attacks/test_slow_patterns.py`).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass

from contract.repository.secret_values import (
    PLAIN_PASSWORDS,
    entropy_bits,
    is_placeholder,
    is_random,
    is_seed_phrase,
    is_strong_password,
    is_used_password,
)


@dataclass(frozen=True, kw_only=True)
class TokenForm:
    """A token that its form alone gives away."""

    kind: str
    leads: tuple[str, ...]  # one of them is in every match: asked first, since it is many times faster than the pattern
    pattern: re.Pattern[str]


def _form(kind: str, leads: str, pattern: str) -> TokenForm:
    # Not within a word, as in "disk-…", but after a line end that is written out.
    start = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
    return TokenForm(kind=kind, leads=tuple(leads.split()), pattern=re.compile(rf"{start}(?:{pattern})"))


def _hosts(prefixes: str, rest: str) -> TokenForm:
    """Tokens of many hosts, each a prefix of its own and a drawn rest."""
    return _form("service token", prefixes, rf"(?:{'|'.join(map(re.escape, prefixes.split()))}){rest}")


TOKEN_FORMS: tuple[TokenForm, ...] = (
    _form("AWS key", "AKIA ASIA ABIA ACCA", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    _form("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    _form("GitHub token", "github_pat_", r"github_pat_\w{22,255}"),
    _form(
        "GitLab token",
        "gl GR1348941",
        r"(?:gl(?:pat|[dr]t|cbt|ptt|oas|ft|soat|imt|ffct|agent)-|GR1348941)[\w.-]{20,300}",
    ),
    _form("Slack token", "xox xapp-", r"(?:xox[abeoprs](?:\.xox[bp])?|xapp)-[A-Za-z0-9-]{10,250}"),
    _form("Slack webhook", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]{20,100}"),
    _form("Stripe key", "k_live_ k_test_ whsec_", r"(?:[srp]k_(?:live|test)_|whsec_)[A-Za-z0-9]{16,250}"),
    _form("Anthropic key", "sk-ant-", r"sk-ant-[\w-]{20,250}"),
    _form("OpenAI key", "sk-", r"sk-(?:proj|svcacct|admin|or-v1|None)-[\w-]{20,250}"),
    _form("OpenAI key", "sk-", r"sk-(?=[A-Za-z]{0,31}\d)[A-Za-z0-9]{32,64}\b"),
    _form("Google key", "AIza", r"AIza[\w-]{35}"),
    _form("Google key", "ya29. GOCSPX-", r"(?:ya29\.[\w-]{20,250}|GOCSPX-[\w-]{28})"),
    _form("npm token", ":_authToken=", r":_authToken=(?!\$)[\w./+=-]{20,250}"),
    _form("PyPI token", "pypi-AgE", r"pypi-AgE[\w-]{50,500}"),
    _form("SendGrid key", "SG.", r"SG\.[\w-]{20,24}\.[\w-]{39,50}"),
    _form("Twilio key", "SK", r"SK[0-9a-f]{32}\b"),
    _form("Telegram token", ":AA", r"(?:bot)?\d{8,10}:AA[\w-]{33}(?![\w-])"),
    _form("Azure key", "AccountKey= SharedAccessKey=", r"(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,100}={0,2}"),
    _form("age key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    _form("Azure key", "8Q~ 7Q~", r"[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{30,38}"),  # a client secret
    _form("Azure key", "sig=", r"sig=[A-Za-z0-9%+/]{40,120}(?:%3D|=){0,2}"),  # a shared access signature
    _form("Terraform token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,80}"),
    _form("Discord token", ".", r"[MNO][A-Za-z\d_-]{22,27}\.[A-Za-z\d_-]{6}\.[A-Za-z\d_-]{27,38}(?![\w-])"),
    _form("Discord webhook", "/api/webhooks/", r"discord(?:app)?\.com/api/webhooks/\d{16,20}/[\w-]{60,80}"),
    _form("Mailgun key", "key-", r"key-[0-9a-f]{32}\b"),
    _form("Square token", "sq0 EAAA", r"(?:sq0(?:atp|csp)-[\w-]{22,43}|EAAA[\w-]{60}(?![\w/+-]))"),
    _form("Airtable token", "pat", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}\b"),
    _form("Dynatrace token", "dt0", r"dt0[cs]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    _form("OpenShift token", "sha256~", r"sha256~[\w-]{43}(?![\w-])"),
    _form("1Password key", "A3- ops_eyJ", r"(?:A3-[A-Z0-9]{6}-[A-Z0-9-]{20,30}\b|ops_eyJ[A-Za-z0-9+/]{200})"),
    _form("Harness key", "pat. sat.", r"[ps]at\.[\w-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}\b"),
    _form("HubSpot key", "pat-", r"pat-(?:na|eu|ap)\d-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"),
    _form("Facebook token", "EAA", r"EAA[A-Za-z0-9]{100,300}\b"),
    _form("Google key", "1// :AAAA AAAA", r"(?:1//0[\w-]{40,120}|AAAA[\w-]{7}:[\w-]{140})"),
    _form("Mailchimp key", "-us", r"[0-9a-f]{32}-us\d{1,2}\b"),
    _form("Mapbox token", "sk.eyJ", r"sk\.eyJ[\w-]{40,200}\.[\w-]{20,40}"),
    _form("cloud key", "LTAI AKID", r"(?:LTAI[A-Za-z0-9]{20}|AKID[A-Za-z0-9]{32})\b"),  # Alibaba's, Tencent's
    _form("Octopus Deploy key", "API-", r"API-[A-Z0-9]{25,27}\b"),
    _form("Azure key", "JQQJ99", r"[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{2,40}"),
    _hosts(
        "npm_ hf_ dop_v1_ doo_v1_ dor_v1_ dapi shpat_ shpca_ shppa_ shpss_ gsk_ xai- pplx- r8_ sbp_ lin_api_ ntn_ "
        "secret_ rubygems_ CLOJARS_ pul- EZAK EZTK AKCp cmVmd shippo_live_ shippo_test_ bkua_ p8e- pnu_ rdme_ oy2 vcp_ "
        "vck_ nfp_ rnd_ tvly- pcsk_ fw_ ico- napi_ sqp_ squ_ sqa_",
        r"[A-Za-z0-9]{24,100}\b",
    ),
    _hosts(
        "hvs. hvb. glsa_ glc_ figd_ sb_secret_ dckr_pat_ dckr_oat_ PMAK- NRAK- NRJS- NRII- sntrys_ sntryu_ ATATT3 "
        "ATCTT3 ABSK bedrock-api-key- xkeysib- nvapi- lsv2_pt_ lsv2_sk_ pscale_ fm1a_ fm1r_ fm2_ fo1_ HRKU-AA tskey- "
        "CFPAT- sgp_ AQVN v1.0- dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit. tgp_v1_ sk-lf- tfp_ FLWSECK fio-u- "
        "mdb_sa_sk_ glrtr- tk-us- duffel_live_ polar_pat_ polar_oat_ pdl_live_ access-production- access-sandbox-",
        r"(?=[\w.=+/-]{0,60}\d)[\w.=+/-]{19,4000}",
    ),
    _form(
        "service token",
        "sk_ rzp_ re_",
        r"(?:sk_[0-9a-f]{48}|rzp_(?:live|test)_\w{14}|re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24})\b",
    ),
    # A private key of PEM in base64, as Kubernetes takes it: "-----BEGIN", and "PRIVATE KEY" at one of three offsets
    _form(
        "private key",
        "LS0tLS1CRUdJTi",
        r"LS0tLS1CRUdJTi[A-Za-z0-9+/]{0,44}?(?:UFJJVkFURSBLRV|BSSVZBVEUgS0VZ|QUklWQVRFIEtFW)",
    ),
    _form("JWT", "eyJ", r"(?:(?<![_-])eyJ[\w-]{8,4000}+|eyJ[\w-]{8,400}+)\.eyJ[\w-]{8}"),
)


def is_basic_credential(value: str) -> bool:
    """Whether a value is a user and a password in base64."""
    try:
        user, colon, password = base64.b64decode(value, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    is_stand_in = is_placeholder(password) or password.lower() in PLAIN_PASSWORDS or password == user
    return bool(colon) and len(password) >= 4 and not is_stand_in


def is_encoded_password(value: str) -> bool:
    """Whether a value is a password in base64, with a user or without, or a drawn token."""
    return is_basic_credential(value) or is_random(value)


@dataclass(frozen=True, kw_only=True)
class SecretPlace:
    """Where a command or a file takes a secret by its position: the pattern's only group is the value."""

    kind: str
    leads: tuple[str, ...]  # as those of a token, in lower case
    pattern: re.Pattern[str]
    is_secret: Callable[[str], bool]


_WORD = r"[\"']?([^\s\"'`]{6,200})"  # of a shell, quoted or not
_NO_REFERENCE = r"(?!\$[\w({]|%[a-z](?![a-z0-9]))"  # "$NAME", "%s"
_SETS = r"(?i)^\s{0,40}(?:RUN\s{1,8})?(?:ENV|ARG|setenv|setx|set\s{1,8}-\w{1,4})\s{1,8}"  # a variable


def _place(
    leads: str, pattern: str, kind: str = "password", is_secret: Callable[[str], bool] = is_used_password
) -> SecretPlace:
    return SecretPlace(kind=kind, leads=tuple(leads.split()), pattern=re.compile(pattern), is_secret=is_secret)


PLACES: tuple[SecretPlace, ...] = (
    # curl -u user:password
    _place("curl wget", rf"\s(?:-u|--user|--proxy-user)[\s=]?[\"']?[^\s:\"']{{1,100}}:{_WORD}"),
    # sshpass -p password
    _place("sshpass", rf"\bsshpass\s{{1,8}}-p\s?{_WORD}"),
    # mysql -ppassword: a blank in between would name the database
    _place("mysql mariadb", rf"\s-p{_WORD}"),
    # docker login -p password; mongo -p password
    _place("login mongo", rf"\s-p\s{{1,8}}{_WORD}"),
    # redis-cli -a password
    _place("redis-cli", rf"\s-a\s{{0,8}}{_WORD}"),
    # openssl -passin pass:password
    _place("pass:", rf"-pass(?:in|out)?\s{{1,8}}[\"']?pass:{_WORD}"),
    # any command's --db-password=password
    _place(
        "-pass -db-pass -pwd -storepass -keypass", rf"\s--?[a-z-]{{0,40}}(?:pass(?:word|wd|phrase)?|pwd)[ =]{_WORD}"
    ),
    # PGPASSWORD=password psql; docker run -e MYSQL_PASSWORD=password
    _place("pass pwd", rf"(?<![\w${{-])[A-Z0-9_]{{0,60}}(?:PASSWORD|PASSWD|PASS|PWD)={_WORD}"),
    # Ansible's inventory; helm --set db.password=password; kubectl --from-literal=password=password
    _place(
        "password= pass=",
        rf"(?i)(?:\bansible_\w{{0,40}}|--(?:set|set-string|from-literal)[ =][\w.-]{{0,60}})pass(?:word)?={_WORD}",
    ),
    # SQL; PowerShell
    _place(
        "identified",
        rf"(?i)\bidentified\s{{1,4}}(?:with\s{{1,4}}\S{{1,60}}\s{{1,4}})?by\s{{1,4}}(?:password\s)?{_WORD}",
    ),
    _place("securestring", rf"(?i)securestring\s{{1,4}}(?:-\w{{1,20}}\s{{1,4}})?{_WORD}"),
    # jwt.encode(payload, "…"), hmac.new(b"…", message)
    _place(
        "jwt hmac",
        r"(?:jwt\w{0,10}\.(?:encode|sign|decode|verify)|hmac\.new|[hH]mac)\([^\"'\n]{0,80}?[\"']([^\"'\s]{20,200})[\"']",
        kind="secret value",
        is_secret=is_random,
    ),
    # WordPress: define('AUTH_KEY', '…');
    _place(
        "_key _salt",
        r"(?i)(?:_KEY|_SALT)[\"']\s{0,4},\s{0,20}'([^'\n]{40,100})'",
        kind="secret value",
        is_secret=lambda value: entropy_bits(value) > 4.7,
    ),
    # echo user:password | chpasswd
    _place("chpasswd", r"\becho\s{1,8}[\"']?[\w.-]{1,60}:([^\s\"'`]{6,200})[\"']?\s{0,8}\|"),
    # /etc/network/interfaces: wpa-psk password
    _place("psk", rf"\bpsk\s{{1,8}}{_WORD}"),
    # .netrc: login user password password
    _place(
        "password",
        r"(?i)(?:^\s{0,40}|\b(?:login|user|account)\s{1,8}\S{1,200}\s{1,8})password\s{1,8}([^\s\"'`,;(){}]{6,200})"
        r"\s{0,8}(?:$|#|account\b|machine\b)",
    ),
    # .pgpass: host:port:database:user:password
    _place(":54 :*:", r"^[\w.*-]{1,100}:(?:\*|54\d\d):[^\s:]{1,60}:[^\s:]{1,60}:([^\s\"'`]{6,200})$"),
    # ssh-keygen -N password, as a command and as its list of arguments
    _place("ssh-keygen", rf"[\s\"']-[NP][\"']?,?\s{{0,8}}{_WORD}"),
    # openssl enc -k password, -K key
    _place("openssl", rf"\bopenssl\b[^|;&]{{0,200}}?[\s\"']-[kK][\"']?,?\s{{1,8}}{_WORD}"),
    # redis.conf: requirepass password
    _place("requirepass masterauth", rf"\b(?:requirepass|masterauth)\s{{1,8}}{_WORD}"),
    # Dockerfile: ENV DB_PASSWORD password; csh's setenv, Apache's SetEnv, Windows' setx, fish's set -x
    _place("env arg setx set", rf"{_SETS}\w{{0,40}}(?:PASSWORD|PASSWD|PASSPHRASE|PASS|PWD)\s{{1,8}}{_WORD}[\"']?\s*$"),
    # auth=("user", "password"), HTTPBasicAuth("user", "password"), smtp.login("user", "password")
    _place(
        "auth credential login(",
        r"(?i)(?:\bauth[\"']?\]?\s{0,4}[=:]\s{0,4}[(\[]|(?:auth|credentials?|credentials\.basic|\.login)\()\s{0,4}"
        r"[bruf]{0,2}[\"'][^\"'\s]{1,100}[\"']\s{0,4},\s{0,4}(?:Some\()?[bruf]{0,2}[\"']([^\"'\s]{8,200})[\"']",
    ),
    # .npmrc: //registry.npmjs.org/:_auth=user and password in base64, _password=password in base64
    _place(
        "_auth _password",
        r"(?:^|[:\s])_(?:auth|authToken|password)\s{0,4}=\s{0,4}[\"']?([A-Za-z0-9+/=_.-]{8,2000})(?![\w(\[$.])",
        kind="registry password",
        is_secret=is_encoded_password,
    ),
    # "X-Api-Key: key" as one literal; Private-Token: token
    _place(
        "key: token: secret: auth:",
        r"(?i)(?:[\"'`]|(?:^|\s)(?=[a-z0-9]{1,20}-))[a-z0-9-]{0,40}"
        r"(?:(?:api|auth|access|subscription|functions|account|secret|admin|master|service|application)-?key"
        r"|(?<!csrf-)(?<!xsrf-)token|secret|auth):\s{0,4}([\w+/=.~-]{20,1000})(?![^\s\"'`\\,;)])",
        kind="secret value",
        is_secret=is_random,
    ),
    # https://host/path?access_token=token, ?password=password
    _place(
        "token= key= secret=",
        r"(?i)[?&](?:amp;)?(?:(?:access|auth|api|refresh|private|oauth|client|session|secret|app|admin|user|service|bot)"
        r"[_-]?)?(?:token|key|secret)=([\w.~%+/=-]{20,1000})",
        kind="secret value",
        is_secret=is_random,
    ),
    _place(
        "password= passwd= pwd= pass=",
        rf"(?i)[?&](?:amp;)?(?:password|passwd|pwd|pass)={_NO_REFERENCE}([^\s\"'`<>&#{{}}()]{{8,200}})",
    ),
    # https://token@host; not Sentry's, which are public
    _place(
        "://",
        r"://([\w.~+=%-]{20,300}+)(?::[\w-]{0,30}+)?+@(?![\w.-]{0,80}sentry)",
        kind="password in a URL",
        is_secret=is_random,
    ),
    # The words from which a wallet's keys are made: BIP-39
    _place(
        "mnemonic phrase seed",
        r"(?i)(?:mnemonic|(?:seed|recovery|backup|secret|wallet)[\s_-]?(?:phrase|words)|(?<![a-z])seed)\w{0,20}[\"'\])]{0,3}"
        r"\s{0,4}(?::=|[=:,(])\s{0,4}[\"'`]?((?:[a-z]{3,8}\s){11,23}[a-z]{3,8})(?![\w ])",
        kind="seed phrase",
        is_secret=is_seed_phrase,
    ),
    # "Server=…;Password=password;"
    _place(
        "password pwd",
        rf"(?i)[;\"'`]\s{{0,4}}(?:password|pwd)\s{{0,4}}=\s{{0,4}}{_NO_REFERENCE}([^\s;\"'`<>{{}}]{{6,200}})",
    ),
    # "host=db user=ada password=password sslmode=disable"
    _place(
        "password= passwd= pwd=",
        rf"(?i)\w=[^\s\"'`,;(){{}}]{{1,100}}+\s{{1,4}}(?:password|passwd|pwd)={_NO_REFERENCE}([^\s\"'`,;<>(){{}}]{{6,200}})",
    ),
    _place(
        "password= passwd= pwd=",
        rf"(?i)(?<![\w.-])(?:password|passwd|pwd)={_NO_REFERENCE}([^\s\"'`,;<>(){{}}]{{6,200}}+)\s{{1,4}}"
        r"(?:user|host|hostaddr|dbname|database|port|server|sslmode)=",
    ),
    # XML of .NET: <add key="SmtpPassword" value="password" />
    _place("password", r"(?i)password[\"']\s{1,8}value\s{0,4}=\s{0,4}[\"']([^\"']{6,200})[\"']"),
    # {"value": "…", "name": "API_TOKEN"}
    _place(
        "token secret passw key",
        r"(?i)value[\"']?\s{0,4}[:=]\s{0,4}[\"']([^\"']{8,1000})[\"'][\s,]{1,8}[\"']?(?:name|key|id)[\"']?\s{0,4}[:=]"
        r"\s{0,4}[\"'][\w.-]{0,60}?(?:token|secret|passw|key)",
        kind="secret value",
        is_secret=is_strong_password,
    ),
    # Docker's config.json: user and password in base64
    _place(
        "auth",
        r"(?i)[\"']auth[\"']\s{0,8}:\s{0,8}[\"']([A-Za-z0-9+/]{12,2000}={0,2})[\"']",
        kind="registry password",
        is_secret=is_basic_credential,
    ),
    # JSON Web Key: the private numbers of RFC 7518, sections 6.2.2, 6.3.2 and 6.4
    _place(
        " ".join(f"\"{name}\" '{name}' {name}:" for name in ("d", "k", "p", "q", "dp", "dq", "qi")),
        r"(?<![\w.-])(?:d|k|p|q|dp|dq|qi)[\"']?\s{0,8}:\s{0,8}[\"']([\w-]{40,1500})[\"']",
        kind="JSON Web Key",
        is_secret=is_random,
    ),
)
