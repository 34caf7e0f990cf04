"""What a request is for, by rules over what it says: deterministic, quick and shy.

A wrong goal mixes the scores of different kinds of work, an unknown one costs nothing: so a rule
needs a request in so many words (an order, or who the model is told to be), and where two
kinds of work are asked for the goal is `GENERAL`. What is asked for, not what is talked about,
decides: "write a function that translates" is code.
"""

# ruff: noqa: E501, RUF001 - patterns in several languages are clearer on one line

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

GENERAL: Final = "general"
"""The goal of what no rule knows."""

_READ_CHARACTERS: Final = 1500
"""So much is read from either end."""

BY_OPERATION: Final[Mapping[str, str]] = MappingProxyType(
    {
        "embeddings": "embedding",
        "image_generation": "image_generation",
        "transcription": "transcription",
        "speech": "speech_synthesis",
        "moderation": "moderation",
        "rerank": "reranking",
    }
)
"""Operations that are a goal by themselves."""

_MODEL_OPERATIONS: Final = frozenset({"chat", "text_completion", "generate_content"})

_BREAK: Final = re.compile(
    r"[\n.!?:;•*\-–>\"“#)]+\s*|, (?:and )?then |\band then |(?<!\w)\d[.)]\s*"
)
"""Behind it a line or a sentence begins, and may be an order."""

_POLITELY: Final = re.compile(
    r"(?:(?:please|pls|kindly|now|then|so|hi|hello|hey|ok(?:ay)?|bitte|por favor|s['’]il (?:te|vous) pla[iî]t|"
    r"per favore|alsjeblieft)[,!]?\s+)*"
    r"(?:(?:can|could|would|will) you(?: please)?\s+|i(?:['’]d| would) like you to\s+|i (?:want|need) you to\s+|"
    r"your (?:task|job|goal|role) is to\s+|you (?:will|should|must|are going to|need to)\s+|help me(?: to)?\s+|"
    r"(?:kannst|könntest) du(?: bitte)?\s+|(?:können|könnten) sie(?: bitte)?\s+|(?:peux|pourrais)-tu\s+|"
    r"(?:pouvez|pourriez)-vous\s+|(?:puedes|podrías)\s+)?"
)
"""What people put in front of an order."""

_YOU_ARE: Final = re.compile(r"\byou are (?:an? |the )?")
_ROLE: Final = r"(?:[\w-]+[ ,]+){0,5}?"

_LANGUAGE: Final = (
    r"(?:python|javascript|typescript|java|c\+\+|c#|rust|golang|go|ruby|php|kotlin|swift|scala|sql|bash|"
    r"shell|powershell|perl|haskell|lua|html|css|react|regex|node\.?js|django|terraform)"
)
_CODE_THING: Final = (
    r"(?:functions?|class(?:es)?|scripts?|programs?|methods?|unit tests?|tests?|queries|query|regex(?:es|p)?|"
    r"code|modules?|components?|endpoints?|decorators?|parsers?|apis?|cli|algorithms?|snippets?|macros?|"
    r"funktion(?:en)?|skript|programm|klasse|fonctions?|classe|programme|funci[oó]n|clase|programa|funzione|função)"
)
_GAP: Final = r"(?:[\w'’+#./-]+ ){0,4}?"


class _Rules(NamedTuple):
    """What tells one goal.

    Attributes:
        orders: At the beginning of a line or sentence.
        roles: Behind "you are".
        anywhere: In scripts without spaces, or where nothing else can be meant.
    """

    goal: str
    orders: Sequence[str] = ()
    roles: Sequence[str] = ()
    anywhere: Sequence[str] = ()


_RULES: Final[Sequence[_Rules]] = (
    _Rules(
        "code_review",
        orders=(
            rf"(?:review|audit|critique) {_GAP}(?:code|pull request|pr|diff|patch|commit|function|"
            r"class|merge request|changes)\b",
            rf"(?:find|spot|identify) {_GAP}(?:bugs?|vulnerabilit\w+|code smells?) in\b",
            rf"(?:prüfe|überprüfe|reviewe) {_GAP}(?:code|pull request|diff)\b",
            rf"(?:relis|revois|revisa|rivedi) {_GAP}(?:code|c[oó]digo|codice)\b",
        ),
        roles=(
            rf"{_ROLE}code review(?:er|s)?\b",
        ),
    ),
    _Rules(
        "code_generation",
        orders=(
            rf"(?:write|create|implement|generate|build|develop|code|give me|make)(?: me)? "
            rf"(?:an? |the |some |this )?(?:[\w'’+#.-]+ ){{0,3}}?{_CODE_THING}\b",
            rf"(?:write|implement|create|generate|build|develop)\b[^.\n]{{0,60}}\b(?:in|using|with) {_LANGUAGE}\b",
            rf"(?:refactor|debug|fix|complete|port|optimi[sz]e) (?:[\w'’-]+ ){{0,2}}?(?:code|functions?|class|"
            rf"script|method|bug|tests?|query|program|{_LANGUAGE})\b",
            rf"(?:schreibe?|erstelle?|implementiere?|programmiere?)\b[^.\n]{{0,40}}\b{_CODE_THING}\b",
            rf"(?:écris|écrivez|crée|implémente)\b[^.\n]{{0,30}}\b{_CODE_THING}\b",
            rf"(?:escribe|escriba|crea|implementa|escreva|crie|scrivi)\b[^.\n]{{0,30}}\b{_CODE_THING}\b",
            r"(?:напиши|напишите|реализуй)\b[^.\n]{0,40}(?:функци|скрипт|программ|класс|код)",
        ),
        roles=(
            rf"{_ROLE}(?:coding assistant|code generator|pair programmer|coding agent)\b",
        ),
        anywhere=(
            r"(?:写|编写|寫|實現|实现)一?个?[^。\n]{0,20}(?:函数|函數|脚本|程序|程式|代码|类)",
        ),
    ),
    _Rules(
        "summarization",
        orders=(
            r"(?:summari[sz]e|tl;?dr|condense|recap)\b",
            rf"(?:write|give|provide|create|produce|generate|make)(?: me| us)? (?:an? |the )?{_GAP}summary\b",
            r"(?:fasse?|fassen sie)\b[^.\n]{0,60}\bzusammen\b",
            r"(?:erstelle?|schreibe?)\b[^.\n]{0,30}\bzusammenfassung\b",
            r"(?:résume[zr]?|resume|resuma|resumir|resumen de|riassumi|riassumere|samenvatten)\b(?! (?:your|my|the) "
            r"(?:work|task|conversation))",
            r"vat\b[^.\n]{0,60}\bsamen\b",
            r"(?:подведи итог|сделай (?:краткое )?(?:резюме|изложение)|кратко изложи|суммируй)",
        ),
        roles=(
            rf"{_ROLE}(?:summari[sz]er|summari[sz]ation (?:assistant|expert|engine|model|agent|bot))\b",
        ),
        anywhere=(
            r"(?:总结|總結|概括|摘要)(?:一下|以下|下面|这|這|上述|如下)",
            r"(?:要約|まとめ)(?:して|を作成)",
            r"요약해",
        ),
    ),
    _Rules(
        "translation",
        orders=(
            r"translate\b(?! (?:this|the|these|our|your) (?:requirements?|ideas?|insights?|needs?)\b)",
            r"(?:übersetze?n?|traduis|traduire|traduisez|traduce|traduzca|traduza|traduci|vertaal|przetłumacz|"
            r"переведи|переведите)\b",
        ),
        roles=(
            rf"{_ROLE}(?:translator|translation (?:assistant|engine|expert|model|agent))\b",
        ),
        anywhere=(
            r"(?:翻译|翻譯)(?:成|为|為|以下|下面|这|這|一下)",
            r"(?:に翻訳|に訳して|を翻訳|번역해)",
        ),
    ),
    _Rules(
        "classification",
        orders=(
            r"(?:classify|categori[sz]e)\b",
            r"(?:label|tag|assign)\b[^.\n]{0,60}\b(?:as one of|into|one of the following|with one of|"
            r"to one of|category|categories|label|labels|class)\b",
            r"(?:determine|identify|detect|predict|decide|analy[sz]e|rate) (?:the |its )?(?:overall )?"
            r"(?:sentiment|intent|topic|category|toxicity|language of|spam)\b",
            r"(?:klassifizieren?|kategorisieren?|classe[rz]?|classifie[zr]?|clasifica|clasifique|classifica|"
            r"classifique|классифицируй|определи (?:тональность|категорию))\b",
        ),
        roles=(
            rf"{_ROLE}(?:(?:text |intent |sentiment |email |ticket )?classifier|classification (?:assistant|engine|model|agent))\b",
        ),
        anywhere=(
            r"(?:将|把|對|对)?[^。\n]{0,20}(?:分类为|分類為|进行分类|進行分類)",
        ),
    ),
    _Rules(
        "lead_scoring",
        orders=(
            rf"(?:score|rate|qualify|rank|grade) {_GAP}(?:leads?|prospects?)\b",
            r"lead[- ]scor(?:e|ing)\b[^.\n]{0,60}\b(?:0|1)\s*(?:-|–|to|and)\s*100?\b",
        ),
        roles=(
            rf"{_ROLE}lead[- ](?:scor\w+|qualif\w+)\b",
        ),
    ),
    _Rules(
        "outreach_generation",
        orders=(
            rf"(?:write|draft|compose|create|generate)(?: me)? (?:an? |the |some )?{_GAP}(?:cold|outreach|sales|"
            r"prospecting|follow[- ]?up|introductory|networking) (?:e-?mails?|messages?|notes?|dms?|letters?|sequences?)\b",
            rf"(?:write|draft|compose)(?: me)? (?:an? |the )?{_GAP}(?:linkedin|outreach) (?:message|note|email|dm|inmail)\b",
            r"(?:schreibe?|verfasse?)\b[^.\n]{0,30}\b(?:kaltakquise|akquise|vertriebs)-?(?:e-?mail|mail|nachricht)\b",
        ),
        roles=(
            rf"{_ROLE}(?:sdr|sales development|outreach|cold[- ]email)\b",
        ),
    ),
    _Rules(
        "data_enrichment",
        orders=(
            rf"(?:enrich|augment|fill in|complete) {_GAP}(?:data|records?|rows?|profiles?|contacts?|compan(?:y|ies)|"
            r"missing (?:fields?|values?|data)|fields?|crm|dataset)\b",
        ),
        roles=(
            rf"{_ROLE}data[- ]enrichment\b",
        ),
    ),
    _Rules(
        "web_scraping",
        orders=(
            r"(?:scrape|crawl)\b",
            r"(?:extract|parse|collect|get|pull)\b[^.\n]{0,60}\bfrom (?:this|the|these|following|a|that)? ?"
            r"(?:following )?(?:raw )?(?:html|web ?pages?|web ?sites?|urls?|dom)\b",
        ),
        roles=(
            rf"{_ROLE}(?:web )?(?:scraper|crawler|scraping (?:assistant|agent|engine|expert))\b",
        ),
    ),
    _Rules(
        "extraction",
        orders=(
            r"extract\b(?![^.\n]{0,80}\b(?:html|web ?pages?|web ?sites?|urls?|dom)\b)",
            r"(?:extrahieren?|extrais|extraire|extrae|extraiga|extraia|estrai|извлеки|извлеките)\b",
        ),
        roles=(
            rf"{_ROLE}(?:information|data|entity) extract(?:or|ion)\b",
        ),
        anywhere=(
            r"(?:提取|抽取)(?:出|以下|下面|文|所有|实体)",
        ),
    ),
    _Rules(
        "data_pipeline",
        orders=(
            rf"(?:clean|transform|normali[sz]e|deduplicate|merge|join|aggregate|convert|reshape|pivot) {_GAP}"
            r"(?:data|dataset|records?|rows?|csv|tables?|spreadsheets?|columns?|json lines|dataframe)\b",
        ),
        roles=(
            rf"{_ROLE}(?:etl|data pipeline)\b",
        ),
    ),
    _Rules(
        "research",
        orders=(
            r"(?:research|investigate)\b(?! (?:assistant|paper|question))",
            r"(?:conduct|do|perform|carry out) (?:(?:an?|the|some|in-depth|deep|thorough|desk|market) ){0,3}"
            r"(?:research|literature review|market analysis)\b",
            r"(?:recherchieren?|recherche[zr]? (?:des|les|sur)|investiga)\b",
        ),
        roles=(
            rf"{_ROLE}(?:research (?:assistant|agent|analyst)|researcher|deep research)\b",
        ),
    ),
    _Rules(
        "system_design",
        orders=(
            rf"(?:design|architect) {_GAP}(?:system|architecture|infrastructure|backend|service|microservices?|"
            r"platform|database schema|data model|api)\b",
            rf"(?:propose|draft|create|write) {_GAP}(?:system design|(?:software |system |technical )?architecture|"
            r"technical design|design doc(?:ument)?)\b",
            rf"(?:entwirf|entwerfen sie|conçois|diseña) {_GAP}(?:system|architektur|architecture|sistema|arquitectura)\b",
        ),
        roles=(
            rf"{_ROLE}(?:system|software|solutions?|cloud) architect\b",
        ),
    ),
    _Rules(
        "agent_orchestration",
        orders=(
            r"(?:delegate|route|hand off|assign|dispatch)\b[^.\n]{0,60}\b(?:agents?|sub-?agents?|workers?)\b",
            r"(?:break (?:down )?|decompose|split)\b[^.\n]{0,60}\b(?:subtasks?|sub-tasks?)\b",
        ),
        roles=(
            rf"{_ROLE}(?:orchestrator|supervisor agent|router agent|planner agent|manager agent|coordinator)\b",
        ),
    ),
)  # fmt: skip


class _Compiled(NamedTuple):
    any_order: re.Pattern[str]
    orders: Sequence[tuple[str, re.Pattern[str]]]
    any_role: re.Pattern[str]
    roles: Sequence[tuple[str, re.Pattern[str]]]
    anywhere: Sequence[tuple[str, re.Pattern[str]]]


def _either(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{one})" for one in patterns))


def _by_goal(kind: str) -> Sequence[tuple[str, re.Pattern[str]]]:
    return tuple(
        (rules.goal, _either(patterns)) for rules in _RULES if (patterns := getattr(rules, kind))
    )


_COMPILED: Final = _Compiled(
    _either(one for rules in _RULES for one in rules.orders),
    _by_goal("orders"),
    _either(one for rules in _RULES for one in rules.roles),
    _by_goal("roles"),
    _by_goal("anywhere"),
)
_YIELDS_TO: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "code_generation": frozenset({"code_review"}),
        "extraction": frozenset({"web_scraping"}),
    }
)
"""Of two kinds of work that are both asked for, this one is a part of the other."""

GOALS: Final = tuple(
    dict.fromkeys((*(rules.goal for rules in _RULES), *BY_OPERATION.values(), GENERAL))
)
"""Every goal that rules know."""


def classified_goal(
    operation: str, messages_text: str, tools: int = 0, response_format: str = ""
) -> str:
    """Say what a request is for; `GENERAL` where that is not plain.

    Args:
        operation: OpenTelemetry's word, such as ``chat``.
        messages_text: What is asked, system prompt first; its two ends are read.
        tools: How many tools the model may call: with any of them the words tell what the agent is
            for, of which one call may be any part.
        response_format: What form the request demands, such as ``json_schema``; empty if none.
    """
    if operation not in _MODEL_OPERATIONS:
        return BY_OPERATION.get(operation, GENERAL)
    asked = _asked_for(_ends(messages_text).lower())
    found = [goal for goal in GOALS if goal in asked]
    found = [goal for goal in found if _YIELDS_TO.get(goal, frozenset()).isdisjoint(found)]
    if len(found) != 1:
        return GENERAL
    return GENERAL if _contradicts(found[0], tools, response_format) else found[0]


def _asked_for(text: str) -> set[str]:
    """Name the kinds of work that a text asks for; it is in lower case."""
    found: set[str] = set()
    for at in (0, *(one.end() for one in _BREAK.finditer(text))):
        polite = _POLITELY.match(text, at)
        at = at if polite is None else polite.end()
        if _COMPILED.any_order.match(text, at) is not None:
            found.update(goal for goal, rule in _COMPILED.orders if rule.match(text, at))
    for one in _YOU_ARE.finditer(text):
        if _COMPILED.any_role.match(text, one.end()) is not None:
            found.update(goal for goal, rule in _COMPILED.roles if rule.match(text, one.end()))
    if not text.isascii():
        found.update(goal for goal, rule in _COMPILED.anywhere if rule.search(text))
    return found


def _contradicts(goal: str, tools: int, response_format: str) -> bool:
    """Tell whether the request's form speaks against what its words say."""
    if tools > 0:
        return goal in ("classification", "lead_scoring", "summarization", "translation")
    is_json = response_format.startswith("json")
    return is_json and goal in ("code_generation", "outreach_generation")


def _ends(text: str) -> str:
    if len(text) <= 2 * _READ_CHARACTERS:
        return text
    return f"{text[:_READ_CHARACTERS]}\n{text[-_READ_CHARACTERS:]}"
