"""Short names of jobs that a person can say, derived from their ids: ``calm-otter``."""

from __future__ import annotations

import hashlib
from functools import lru_cache

_ADJECTIVES = (
    "able airy amber ample azure bold brave brief bright brisk broad bronze busy calm candid careful central cheerful "
    "chief civil clean clear clever close cloudy coastal cool copper coral cosy crisp curious daily dapper daring "
    "deep dense direct distant dry eager early earnest easy even exact fair faithful famous fast fine firm fond frank "
    "free fresh full gentle giant glad golden good grand great green happy hardy hazel honest humble icy ideal inner "
    "jolly keen kind large late lean level light lively local loyal lucid lucky lunar mellow merry mild modest narrow "
    "neat new nimble noble noted novel open patient plain polite prime proper proud pure quick quiet rapid rare ready "
    "rich ripe robust rosy round royal rural sharp shiny silent silver simple sleek slim smart smooth"
)
_ANIMALS = (
    "adder alpaca ant antelope auk badger bat bear beaver bee beetle bison boar bobcat buffalo camel canary carp cat "
    "cheetah chough cobra cod condor coot crab crane cricket crow cuckoo deer dingo dipper dog dolphin donkey dove "
    "duck eagle eel egret eider elk emu falcon ferret finch fox frog gannet gazelle gecko gibbon giraffe goat goose "
    "gorilla grouse gull hare hawk hedgehog heron hippo horse hyena ibex ibis iguana impala jackal jaguar jay kestrel "
    "kite kiwi koala lark lemur leopard linnet lion lizard llama lobster lynx magpie mallard marten merlin mole moose "
    "moth mouse mule newt ocelot octopus orca oriole osprey otter owl ox panda panther parrot pelican penguin perch "
    "pike plover pony puffin puma quail rabbit raven robin rook salmon seal shrew snipe sparrow"
)
_FIRST, _SECOND = _ADJECTIVES.split(), _ANIMALS.split()


@lru_cache(maxsize=100_000)
def short_name(job_id: str) -> str:
    """Returns the short name of a job: two words.

    >>> short_name("1f0c9a2e")
    'humble-lion'
    """
    number = int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:8], "big")
    return f"{_FIRST[number % len(_FIRST)]}-{_SECOND[number // len(_FIRST) % len(_SECOND)]}"


def candidate_name(job_id: str, number: int) -> str:
    """Returns the short name of a candidate: its job's and its trial number.

    >>> candidate_name("1f0c9a2e", 12)
    'humble-lion/12'
    """
    return f"{short_name(job_id)}/{number}"
