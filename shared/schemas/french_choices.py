"""The French name of every category value; each is accepted as its spelling too."""

from shared.domain.car import Condition, Fuel, Origin, Owner, SellerType, Transmission

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
