"""Spellings of the categories, by folded text, and the words of phrases that name them."""

from shared.domain.car import Condition, Fuel, Origin, Owner, SellerType, Transmission
from shared.domain.names import by_spelling
from shared.fields.phrases import PhraseReader
from shared.i18n.catalogue import mark_in_context, translate_in_context

FUEL_SPELLINGS = by_spelling(
    {
        # One-letter codes, and the two-letter codes of registration documents, stand alone only.
        # "E" is none of them: petrol in French lists ("essence"), electric in others.
        Fuel.PETROL: "gas, es, fe, et, super, regular, flex, b, p",
        Fuel.DIESEL: "d, go",
        Fuel.HYBRID: "ee, eh, gl, gh, h",
        Fuel.ELECTRIC: "el",
        Fuel.LPG: "gp, eg",
        Fuel.CNG: "gn, en",
    }
)
_COMBUSTION = {Fuel.PETROL, Fuel.DIESEL}
FUEL_PHRASES = PhraseReader(
    {
        Fuel.PETROL: (
            "essence, petrol, gasoline, gasolina, benzin, benzina, benzine, bensin, nafta, "
            "sans plomb, super sans plomb, unleaded, bleifrei, sp, sp95, sp98, e5, e10, e85, "
            "e 85, ethanol, bioethanol, superethanol, super ethanol, flexfuel, flex fuel, "
            "flexifuel, essence sp, super 95, super 98, super e10, super plus, regular benzine, "
            "s p, essence s p, ess, bencina, benzyna, regular gas, gas regular, "
            "بنزين, بانزين, ليسانس, اسانس, ايسانس, بنزين بدون رصاص, بنزين خالي من الرصاص"
        ),
        Fuel.DIESEL: (
            "diesel, gasoil, gas oil, gazole, gasoleo, gasolio, gazoil, gaz oil, mazout, mazot, "
            "dies, dizel, motorina, olej napedowy, tdi, hdi, bluehdi, dci, cdi, crdi, tdci, ديزل, "
            "مازوت, المازوت, مازوط, المازوط, مازووت, كازوايل, ڭازوال, غازوال, كازوال, ديازيل, سولار"
        ),
        Fuel.HYBRID: (
            "hybride, hybrid, hybrids, hybrida, hibrido, hibrida, ibrida, ibrido, hev, phev, "
            "mhev, plug in, rechargeable, non rechargeable, enchufable, mild hybrid, "
            "micro hybride, micro hybrid, full hybrid, hyb, hnr, hr, "
            "hibrit, hibrid, hybryda, gas electric, plug in electric gas, بلاج ان, "
            "hybride leger, self charging, هايبرد, هايبريد, هيبريد, هجين, هجينه, ايبريد"
        ),
        Fuel.ELECTRIC: (
            "electrique, electric, electricite, electricity, elektro, elektrisch, electrico, "
            "electrica, elettrica, elettrico, elektriciteit, elektryczny, elektrik, elec, ev, bev, "
            "batterie, battery, كهرباء, كهربائي, "
            "كهربائيه, كهربا"
        ),
        Fuel.LPG: (
            "gpl, lpg, glp, autogas, autogaz, gaz de petrole liquefie, liquefied petroleum gas, "
            "liquid petroleum gas, gas licuado, gas licuado de petroleo, غاز البترول المسال"
        ),
        Fuel.CNG: (
            "gnv, cng, gnc, gaz naturel, gas natural, natural gas, compressed natural gas, "
            "erdgas, metano, gaz naturel comprime, gaz naturel vehicule, غاز طبيعي"
        ),
    },
    neutral=(
        "et, and, und, e, y, con, mit, with, bi, bicarburant, bicarburation, bi carburation, "
        "carburant, fuel, "
        "bifuel, bivalent, dual, moteur, motor, motorisation, engine, a, au, avec, ou, plomb, 95, "
        "98, 91, 100, 85, 48v, 12v, b7, leger, legere, mild, full, micro, super, serie, "
        "parallele, type, fuels, voiture, vehicule, vehicle, car, bi carburant, turbo, premium, "
        "norme, euro 3, euro 4, euro 5, euro 6, euro 6b, euro 6c, "
        "euro 6d, euro4, euro5, euro6, euro6d, و, وقود, محرك, سياره"
    ),
    joined={
        **{frozenset({fuel, Fuel.ELECTRIC}): Fuel.HYBRID for fuel in _COMBUSTION},
        **{frozenset({fuel, Fuel.HYBRID}): Fuel.HYBRID for fuel in (*_COMBUSTION, Fuel.ELECTRIC)},
        **{frozenset({fuel, Fuel.ELECTRIC, Fuel.HYBRID}): Fuel.HYBRID for fuel in _COMBUSTION},
        frozenset({Fuel.PETROL, Fuel.LPG}): Fuel.LPG,
        frozenset({Fuel.PETROL, Fuel.CNG}): Fuel.CNG,
    },
)

TRANSMISSION_SPELLINGS = by_spelling(
    {
        Transmission.MANUAL: "m, man, s",
        Transmission.AUTOMATIC: "a, semi, aut",
    }
)
TRANSMISSION_PHRASES = PhraseReader(
    {
        Transmission.MANUAL: (
            "manuelle, manuel, manual, manuell, manuale, handgeschaltet, handschaltung, "
            "schaltgetriebe, schaltung, mecanique, mechanical, bvm, mt, m t, imt, "
            "intelligent manual, stick shift, stick, handgeschakeld, handbak, manualna, manuala, "
            "يدوي, يدويه, مانويل, مانيال, مانيوال, مانوال, عادي, عاديه"
        ),
        Transmission.AUTOMATIC: (
            "automatique, automatic, automatik, automatikgetriebe, automat, automatico, "
            "automatica, automatizada, auto, automated, automatisee, automatise, at, a t, bva, "
            "cvt, ecvt, e cvt, ivt, xtronic, x tronic, multitronic, lineartronic, amt, "
            "automated manual, automatic manual transmission, manual automated, "
            "manuelle robotisee, manuelle pilotee, manuelle automatisee, dct, dsg, pdk, edc, eat, "
            "bvr, robotisee, robotise, robotized, robot, pilotee, pilotes, pilote, sequentielle, "
            "sequentiel, sequential, semi automatique, semi automatic, semi auto, halbautomatik, "
            "tiptronic, tip tronic, steptronic, step tronic, geartronic, powershift, power shift, "
            "easytronic, s tronic, stronic, r tronic, g tronic, gtronic, speedshift, speedtronic, "
            "quickshift, dualogic, selespeed, i shift, edct, etg, egs, bmp, double embrayage, "
            "dual clutch, double clutch, twin clutch, doppelkupplung, doppelkupplungsgetriebe, "
            "variation continue, continuously variable, stufenlos, variateur, "
            "automatic with manual mode, automatique avec mode manuel, automatique mode manuel, "
            "auto shift, dual shift, m steptronic, cvt f, "
            "single speed, reduction gear, reducteur, variable, automaat, halfautomaat, "
            "half semi automaat, semi automaat, automatyczna, półautomatyczna, automata, "
            "semiautomatico, sequenziale, secuencial, otomatik, yar\u0131 otomatik, "
            "اوتوماتيك, اوتوماتيكي, اوتوماتيكيه, اتوماتيك, اتوماتيكي, اتوماتيكيه, اوطوماتيك, "
            "توماتيك, تماتيك, اوتو, تلقائي, الي, اليه"
        ),
    },
    neutral=(
        "boite, bv, boites, box, single, one, fixed, de, a, avec, with, mit, the, vitesse, "
        "vitesses, vit, v, rapport, rapports, speed, speeds, spd, gear, gears, gang, gange, "
        "gearbox, transmission, getriebe, marchas, marce, cambio, type, mode, g, w, sport, "
        "normal, drivelogic, cmdshft, manual mode, manual modes, mode manuel, with o, "
        "fixed gear, overdrive, electronically controlled, cutie, "
        "de viteze, skrzynia, biegow, bezstopniowa, versnellingen, vaxlad, ناقل, حركه, "
        "علبه, سرعات, ترس, قير, جير"
    ),
    digits=True,
)

OWNER_SPELLINGS = by_spelling(
    {
        # "0" counts the owners before the seller.
        Owner.FIRST: (
            "premiere main, 1ere main, 1re main, 1er main, 1 ere main, premiere, 1ere, 1st, "
            "premier, premier proprietaire, 1er proprietaire, oui, yes, true, vrai, ja, "
            "first owner, first hand, 1st owner, one owner, single owner, 1 owner, 1, 0, 1 0, "
            "0 0, erstbesitz, 1 hand, erste hand, unico dueno, نعم, يد اولي, اول مالك, مالك اول"
        ),
        Owner.SECOND: (
            "deuxieme main, seconde main, 2eme main, 2 eme main, 2e main, deuxieme, second owner, "
            "second hand, 2nd owner, 2nd, 2eme, seconde, 2eme proprietaire, "
            "deuxieme proprietaire, second proprietaire, two owners, 2 owners, 2, 2 0, 2 hand, "
            "zweite hand, يد ثانيه, مالك ثاني"
        ),
        Owner.SECOND_OR_MORE: "deuxieme main ou plus, seconde main ou plus, non, no, false, faux, "
        "nein, 2 plus, 2 ou plus, 2 et plus, 2 or more, 2eme main ou plus, 2eme main et plus, لا, "
        "يد ثانيه او اكثر",
        Owner.THIRD: (
            "troisieme main, 3eme main, 3e main, third owner, third hand, 3rd owner, 3rd, 3eme, "
            "troisieme, 3eme proprietaire, troisieme proprietaire, 3 owners, 3, 3 0, 3 hand, "
            "dritte hand, يد ثالثه, مالك ثالث"
        ),
        Owner.FOURTH_AND_ABOVE: (
            "quatrieme main, quatrieme main ou plus, 4eme main, 4e main, 4eme main et plus, "
            "4eme main ou plus, fourth, fourth owner, 4th owner, 4th, fourth above owner, "
            "fourth and above owner, fourth and above, 4th and above, 4th above owner, 4th above, "
            "fourth above, 4 or more, 4 et plus, 4 ou plus, 4 owners, 4, 4 0, 4 plus, 5, 5 plus, "
            "6, يد رابعه, يد رابعه او اكثر"
        ),
        Owner.TEST_DRIVE: "vehicule de demonstration, voiture de demonstration, demonstration, "
        "test drive, test drive car owner, demo, vorfuhrwagen, سياره عرض",
    }
)

SELLER_SPELLINGS = by_spelling(
    {
        SellerType.INDIVIDUAL: (
            "particulier, particuliere, private, private seller, privat, privatanbieter, "
            "privatverkauf, individuel, individual seller, vendeur particulier, owner, "
            "for sale by owner, خاص, فرد, شخصي, بائع خاص"
        ),
        SellerType.DEALER: (
            "professionnel, professionnelle, professional, concessionnaire, concession, pro, "
            "garage, garagiste, showroom, show room, dealership, car dealer, store, shop, "
            "boutique, magasin, agence, revendeur, marchand, negociant, vendeur professionnel, "
            "societe, entreprise, company, haendler, handler, autohaus, gewerblich, business, "
            "trade, مهني, معرض, وكاله, تاجر, شركه"
        ),
        SellerType.TRUSTMARK_DEALER: "concessionnaire agree, concessionnaire officiel, وكيل معتمد",
    }
)

CONDITION_SPELLINGS: dict[str, Condition] = {}
CONDITION_PHRASES = PhraseReader(
    {
        Condition.NEW: (
            "neuf, neuve, new, brand new, neuwagen, neu, nuevo, nuovo, 0 km, جديد, جديده"
        ),
        Condition.EXCELLENT: (
            "excellent, excellente, comme neuf, comme neuve, quasi neuf, quasi neuve, like new, "
            "as new, neuwertig, impeccable, parfait, perfect, mint, outstanding, ausgezeichnet, "
            "hervorragend, excelente, ممتاز, ممتازه, كالجديد, مثل جديد"
        ),
        Condition.VERY_GOOD: (
            "tres bon, tres bonne, very good, sehr gut, muy bueno, جيد جدا, جيده جدا"
        ),
        Condition.GOOD: "bon, bonne, good, gut, bueno, buono, جيد, جيده",
        # The scale has no poor condition; the next one below is for damaged cars.
        Condition.FAIR: (
            "correct, correcte, moyen, moyenne, fair, average, acceptable, passable, poor, bad, "
            "mauvais, mauvaise, mediocre, rough, mittel, ausreichend, schlecht, regular, متوسط, "
            "متوسطه, مقبول, سيء"
        ),
        Condition.DAMAGED: (
            "endommage, endommagee, accidente, accidentee, damaged, salvage, crashed, wrecked, "
            "unfallfahrzeug, unfallwagen, beschadigt, accident, متضرر, متضرره, مصدوم, حادث"
        ),
        Condition.FOR_PARTS: (
            "pour pieces, pour piece, for parts, parts only, epave, ersatzteile, "
            "ersatzteiltrager, للقطع, قطع غيار"
        ),
    },
    neutral=(
        "etat, general, condition, en, in, the, vehicule, voiture, car, zustand, a, estado, حاله, "
        "في"
    ),
    empty="occasion, d occasion, used, second hand, gebraucht, gebrauchtwagen, usado, usata, "
    "usage, pre owned, preowned, certified pre owned, مستعمل, مستعمله",
)

ORIGIN_SPELLINGS: dict[str, Origin] = {}
ORIGIN_PHRASES = PhraseReader(
    {
        Origin.WW_MOROCCO: (
            "ww, www, w w, w w w, achetee au maroc, achete au maroc, achetee neuve au maroc, "
            "achete neuf au maroc, bought in morocco, bought new in morocco, "
            "purchased in morocco, neuve au maroc, maison au maroc, acheter au maroc, ww بالمغرب"
        ),
        Origin.IMPORTED_NEW: (
            "importee neuve, importe neuf, importee neuf, imported new, new import, "
            "neuve importee, neuf importe, importation neuve, مستورده جديده, مستورد جديد"
        ),
        Origin.CUSTOMS_CLEARED: (
            "dedouanee, dedouane, dedouanes, customs cleared, cleared customs, duty paid, معشره, "
            "معشر, مجمركه, مجمرك"
        ),
        Origin.NOT_CUSTOMS_CLEARED: (
            "pas encore dedouanee, pas encore dedouane, pas dedouanee, pas dedouane, "
            "non dedouanee, non dedouane, non encore dedouanee, non encore dedouane, a dedouaner, "
            "not customs cleared, not yet customs cleared, not cleared, customs not cleared, "
            "not yet cleared, غير معشره, غير معشر, غير مجمركه"
        ),
    },
    neutral="au maroc, in morocco, maroc, morocco, vehicule, voiture, car, سياره, في, مغرب",
)


CHOICE_CONTEXT = "choice"
CHOICES: tuple[str, ...] = (
    mark_in_context("choice", "Petrol"),
    mark_in_context("choice", "Diesel"),
    mark_in_context("choice", "Hybrid"),
    mark_in_context("choice", "Electric"),
    mark_in_context("choice", "LPG"),
    mark_in_context("choice", "CNG"),
    mark_in_context("choice", "Manual"),
    mark_in_context("choice", "Automatic"),
    mark_in_context("choice", "First"),
    mark_in_context("choice", "Second"),
    mark_in_context("choice", "Second or more"),
    mark_in_context("choice", "Third"),
    mark_in_context("choice", "Fourth & Above"),
    mark_in_context("choice", "Test Drive Car"),
    mark_in_context("choice", "Individual"),
    mark_in_context("choice", "Dealer"),
    mark_in_context("choice", "Trustmark Dealer"),
    mark_in_context("choice", "New"),
    mark_in_context("choice", "Excellent"),
    mark_in_context("choice", "Very good"),
    mark_in_context("choice", "Good"),
    mark_in_context("choice", "Fair"),
    mark_in_context("choice", "Damaged"),
    mark_in_context("choice", "For parts"),
    mark_in_context("choice", "WW Morocco"),
    mark_in_context("choice", "Imported new"),
    mark_in_context("choice", "Customs cleared"),
    mark_in_context("choice", "Not customs cleared"),
)
"""The names of all choices in English, which are their values; `make messages` collects them."""
FRENCH_CHOICES: dict[str, str] = {
    name: translate_in_context(CHOICE_CONTEXT, name, "fr") for name in CHOICES
}
