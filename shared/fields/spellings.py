"""French and English spellings of the categories, by folded text (`shared.domain.names`)."""

from shared.domain.car import Condition, Fuel, Origin, Owner, SellerType, Transmission
from shared.domain.names import by_spelling

FUEL_SPELLINGS = by_spelling(
    {
        Fuel.PETROL: "essence, gasoline, gas, benzine, sans plomb, essence sans plomb, es",
        Fuel.DIESEL: "d, go, mazot, gasoil, gazole, mazout",
        Fuel.HYBRID: (
            "hybride, hybride leger, micro hybride, mild hybrid, mhev, hybride essence, "
            "hybride diesel, hybride rechargeable, plug in hybrid, phev, hev"
        ),
        Fuel.ELECTRIC: "electrique, 100 electrique, ev",
        Fuel.LPG: "gpl",
        Fuel.CNG: "gnv, gaz naturel, gaz naturel gnv",
    }
)

TRANSMISSION_SPELLINGS = by_spelling(
    {
        Transmission.MANUAL: "manuelle, manuel, boite manuelle, mecanique, m, bvm, bvm5, bvm6",
        Transmission.AUTOMATIC: (
            "automatique, boite automatique, semi automatique, auto, a, bva, bva6, bva7, bva8, "
            "bvr, robotisee, boite robotisee, sequentielle, edc, eat6, eat8, tiptronic, cvt, "
            "dsg"
        ),
    }
)

OWNER_SPELLINGS = by_spelling(
    {
        Owner.FIRST: (
            "premiere main, 1ere main, 1 ere main, premiere, oui, first owner, 1st owner, 1"
        ),
        Owner.SECOND: (
            "deuxieme main, seconde main, 2eme main, 2 eme main, deuxieme, second owner, "
            "2nd owner, 2"
        ),
        Owner.SECOND_OR_MORE: "deuxieme main ou plus, seconde main ou plus, non",
        Owner.THIRD: "troisieme main, 3eme main, third owner, 3",
        Owner.FOURTH_AND_ABOVE: (
            "quatrieme main, quatrieme main ou plus, fourth, fourth above owner, 4"
        ),
        Owner.TEST_DRIVE: "vehicule de demonstration, test drive",
    }
)

SELLER_SPELLINGS = by_spelling(
    {
        SellerType.INDIVIDUAL: "particulier, private",
        SellerType.DEALER: "professionnel, concessionnaire, concession, pro, garage",
        SellerType.TRUSTMARK_DEALER: "concessionnaire agree",
    }
)

CONDITION_SPELLINGS = by_spelling(
    {
        Condition.NEW: "neuf, neuve",
        Condition.EXCELLENT: "excellente, excellent etat",
        Condition.VERY_GOOD: "tres bon, tres bon etat",
        Condition.GOOD: "bon, bon etat",
        Condition.FAIR: "correct, moyen",
        Condition.DAMAGED: "endommage, accidente",
        Condition.FOR_PARTS: "pour pieces",
    }
)

ORIGIN_SPELLINGS = by_spelling(
    {
        Origin.WW_MOROCCO: "ww au maroc, ww maroc, achetee au maroc",
        Origin.IMPORTED_NEW: "importee neuve, importe neuf",
        Origin.CUSTOMS_CLEARED: "dedouanee, dedouane",
        Origin.NOT_CUSTOMS_CLEARED: "pas encore dedouanee, pas dedouanee, non dedouanee",
    }
)


FRENCH_CHOICES: dict[str, str] = {
    Fuel.PETROL: "Essence",
    Fuel.DIESEL: "Diesel",
    Fuel.HYBRID: "Hybride",
    Fuel.ELECTRIC: "Électrique",
    Fuel.LPG: "GPL",
    Fuel.CNG: "Gaz naturel (GNV)",
    Transmission.MANUAL: "Manuelle",
    Transmission.AUTOMATIC: "Automatique",
    Owner.FIRST: "Première main",
    Owner.SECOND: "Deuxième main",
    Owner.SECOND_OR_MORE: "Deuxième main ou plus",
    Owner.THIRD: "Troisième main",
    Owner.FOURTH_AND_ABOVE: "Quatrième main ou plus",
    Owner.TEST_DRIVE: "Véhicule de démonstration",
    SellerType.INDIVIDUAL: "Particulier",
    SellerType.DEALER: "Professionnel",
    SellerType.TRUSTMARK_DEALER: "Concessionnaire agréé",
    Condition.NEW: "Neuf",
    Condition.EXCELLENT: "Excellent",
    Condition.VERY_GOOD: "Très bon",
    Condition.GOOD: "Bon",
    Condition.FAIR: "Correct",
    Condition.DAMAGED: "Endommagé",
    Condition.FOR_PARTS: "Pour pièces",
    Origin.WW_MOROCCO: "WW au Maroc",
    Origin.IMPORTED_NEW: "Importée neuve",
    Origin.CUSTOMS_CLEARED: "Dédouanée",
    Origin.NOT_CUSTOMS_CLEARED: "Pas encore dédouanée",
}
