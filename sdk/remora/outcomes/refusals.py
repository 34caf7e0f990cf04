r"""Refusals: answers that say no more than that there is none.

Only how an answer begins tells, and only in a short one: refusals are quoted, translated and
written about, and a long answer that begins with what it can't do goes on with what it can.
What a person may write to another ("I'm sorry, but I can't make it on Friday") is none.
"""

# ruff: noqa: E501, RUF001 - patterns in several languages are clearer on one line

import re
from typing import Final

LONGEST_CHARACTERS: Final = 1500
"""A longer answer is no refusal, however it begins."""

_READ_CHARACTERS: Final = 300

_QUOTES: Final = ('"', "“", "„", "«", "»", "'", "‘", "`", ">", "「", "『", "{", "[", "<", "|")
"""How an answer begins that gives somebody else's words, or data."""

_THAT: Final = (
    r"(?:with )?(?:that|this|it|your (?:request|question)|the request|(?:this|that|such|these|those)"
    r" (?:kind|type|sort|request|question|topic|content|task|information|activit)\w*)"
)
_WORDS_EN: Final = (
    r"(?:help|assist|comply|aid|engage)(?: you)? with (?:that|this|it|your request|the request|such)\b",
    r"(?:fulfill?|complete|process|answer|honou?r|accommodate) (?:that|this|your|the|such)"
    r" (?:request|question|task|query)\b",
    rf"(?:do|discuss|support|answer|provide|create|generate|write|produce|share|offer) {_THAT}\b",
    r"(?:provide|offer|give|share)(?: you)?(?: with)? (?:any )?(?:instructions|guidance|assistance|"
    r"information|details|advice|content|help)\b",
    r"(?:create|generate|produce|write|engage in|participate in|assist (?:in|with)|help (?:with|you))"
    r" (?:[\w-]+ ){0,3}(?:content|material|illegal|harmful|dangerous|malicious|explicit|hateful)\b",
    r"comply\b",
)
_CANNOT_EN: Final = (
    r"i(?:['’]m| am) (?:unable|not able|not allowed|not permitted|not comfortable)(?: to)?"
    r"|i (?:can['’]?t|cannot|can not|won['’]?t|will not|must decline to|must refuse to|have to decline to)"
    r"|i (?:don['’]t|do not) feel comfortable"
)
_SORRY_EN: Final = (
    r"(?:(?:i(?:['’]m| am)(?: very| really| so)? sorry|sorry|i apologi[sz]e|my apologies|unfortunately|"
    r"i understand[^.\n]{0,80})[,.;:!]?\s*(?:but|however|because)?,?\s*)?"
)
_AS_AI_EN: Final = (
    r"(?:as an? (?:ai|artificial intelligence|large language|language)[^,.\n]{0,40}[,.]?\s*)?"
)

_PATTERNS: Final = (
    # English
    rf"{_SORRY_EN}{_AS_AI_EN}(?:{_CANNOT_EN}) (?:{'|'.join(_WORDS_EN)})",
    rf"{_SORRY_EN}as an? (?:ai|artificial intelligence|large language|language)[^,.\n]{{0,40}},?\s*"
    rf"(?:{_CANNOT_EN})",
    r"i(?:['’]m| am) sorry,? but i (?:can['’]?t|cannot|am unable to|['’]m unable to)"
    r" (?:do|help|assist)(?: you)?(?: with)? ?(?:that|this)?[.!]?\s*$",
    r"(?:this|that|your) request (?:violates|goes against|is against)\b",
    # German
    r"(?:es )?tut mir (?:sehr )?leid,?\s*(?:aber )?(?:dabei|damit|bei dieser anfrage|hierbei|dazu) kann ich",
    r"(?:es )?tut mir (?:sehr )?leid,?\s*(?:aber )?(?:ich kann|ich darf|ich bin nicht in der lage)\b"
    r"[^.\n]{0,80}\b(?:nicht|keine?)\b[^.\n]{0,40}\b(?:helfen|unterstützen|bereitstellen|beantworten|"
    r"erfüllen|erstellen|anfrage)\b",
    r"(?:leider )?(?:kann|darf) ich (?:dir |ihnen |ihr )?(?:dabei|damit|bei dieser anfrage) (?:leider )?nicht\b",
    r"als (?:ki|künstliche intelligenz|sprachmodell)\b[^.\n]{0,60}\b(?:kann|darf) ich\b[^.\n]{0,60}\bnicht\b",
    # French
    r"(?:je suis (?:vraiment )?désolée?|désolée?)[,.]?\s*(?:mais )?je ne (?:peux|suis)\s*(?:pas|malheureusement)"
    r"[^.\n]{0,30}\b(?:aider|répondre à|fournir|accéder à|traiter|satisfaire|en mesure)\b",
    r"je ne (?:peux|suis) pas (?:en mesure de |capable de )?(?:vous |t['’])?(?:aider|répondre|fournir|accéder|"
    r"traiter)[^.\n]{0,20}\b(?:cela|ça|cette (?:demande|requête)|ce (?:type|genre))\b",
    r"en tant qu['’](?:ia|intelligence artificielle|assistant|modèle)[^.\n]{0,50},?\s*je ne (?:peux|suis)",
    # Spanish
    r"lo siento,?\s*(?:pero )?no (?:puedo|me es posible) (?:ayudarte|ayudarle|ayudar|proporcionar|cumplir|"
    r"responder|asistir)[^.\n]{0,30}\b(?:eso|esto|esa|esta|ese|este|información|solicitud)\b",
    r"lo siento,?\s*(?:pero )?no puedo (?:ayudarte|ayudarle|hacer eso)[.!]?\s*$",
    r"como (?:una )?(?:ia|inteligencia artificial|modelo de lenguaje)[^.\n]{0,40},?\s*no (?:puedo|me es)",
    # Portuguese
    r"(?:desculpe|lamento|sinto muito),?\s*(?:mas )?não posso (?:ajudar|fornecer|atender|responder|auxiliar)"
    r"[^.\n]{0,30}\b(?:isso|isto|essa|esta|esse|este|solicitação|pedido|informaç)",
    r"como (?:uma )?(?:ia|inteligência artificial|modelo de linguagem)[^.\n]{0,40},?\s*não posso",
    # Italian
    r"mi dispiace,?\s*(?:ma )?non posso (?:aiutarti|aiutarla|aiutare|fornire|soddisfare|rispondere)"
    r"[^.\n]{0,30}\b(?:questo|ciò|questa|richiesta|informazion)",
    r"(?:in quanto|come) (?:ia|intelligenza artificiale|modello)[^.\n]{0,40},?\s*non posso",
    # Dutch
    r"(?:het )?(?:spijt me|sorry),?\s*(?:maar )?(?:daar|hier|bij (?:dit|dat|deze)[^.\n]{0,20}) ?(?:mee )?kan ik"
    r"[^.\n]{0,30}\bniet\b",
    # Polish, Russian
    r"(?:przykro mi|przepraszam),?\s*(?:ale )?nie mogę (?:w tym |ci |ci w tym |z tym )?(?:pomóc|spełnić|udzielić)",
    r"(?:извините|простите|к сожалению|мне жаль),?\s*(?:но )?я не (?:могу|в состоянии|имею возможности)"
    r" (?:вам |тебе |с этим )?(?:помочь|выполнить|предоставить|ответить|обсуждать)",
    # Chinese, Japanese, Korean
    r"(?:很?抱歉|对不起|對不起)[,，。]?\s*(?:但)?我?(?:无法|不能|無法)(?:为您|为你|為您)?"
    r"(?:提供|帮助|協助|协助|满足|回答|完成|处理|幫助)",
    r"(?:申し訳(?:ありません|ございません)が?|すみませんが?)[、,。]?[^。\n]{0,40}"
    r"(?:お手伝い|お答え|ご提供|提供|対応|お応え)[^。\n]{0,12}(?:できません|できかねます|いたしかねます)",
    r"(?:죄송합니다만?|죄송하지만|미안하지만)[,.]?\s*[^.\n]{0,40}(?:도와|도움|제공|답변|응답)[^.\n]{0,15}"
    r"(?:없습니다|수 없|어렵습니다)",
)
_REFUSAL: Final = re.compile("|".join(f"(?:{one})" for one in _PATTERNS), re.IGNORECASE)


def is_refusal(text: str) -> bool:
    """Tell whether an answer as a whole is a refusal; of a doubtful one that it is not."""
    said = text.strip()
    if len(said) > LONGEST_CHARACTERS or said.startswith(_QUOTES):
        return False
    return _REFUSAL.match(said[:_READ_CHARACTERS].lstrip("*_# ")) is not None
