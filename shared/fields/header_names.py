"""Names of columns by field: marketplaces, public data sets, dealer management systems.

In French, English, German, Arabic, Spanish, Italian, Portuguese, Dutch, Polish, Turkish and
Romanian, in addition to the aliases of the fields
(`shared.fields.car`). Case, accents, plurals, word separators and words like "of" and "vehicle" do
not matter, see `shared.tabular.column_names`.
"""

HEADER_NAMES: dict[str, str] = {
    "company": (
        "marque, marque commerciale, nom marque, libelle marque, lib marque, constructeur, "
        "constructeur automobile, fabricant, brand, brand name, make, make name, maker, "
        "manufacturer, manufacturer name, company, company name, car make, oem, mark, marke, "
        "hersteller, herstellername, automarke, fabrikat, fahrzeugmarke, marca, fabricante, "
        "الماركة, ماركة, العلامة, العلامة التجارية, ماركة السيارة, الشركة, الشركة المصنعة, "
        "الصانع, المصنع, النوع والماركة, marque auto, merk, automerk, marka, marque vhl, "
        "fabricante vehiculo, mque, constr, marca vehiculo, marca auto, marca automobile, "
        "producent, marka pojazdu, marka samochodu, merk auto, fabricante veiculo"
    ),
    "model": (
        "modele, nom modele, libelle modele, lib modele, gamme, gamme modele, modele "
        "commercial, denomination commerciale, famille, modele base, model, model name, car "
        "model, vehicle model, model line, model family, model group, modell, modellname, "
        "fahrzeugmodell, automodell, baureihe, modellreihe, modelo, modello, الموديل, موديل, "
        "الطراز, طراز, موديل السيارة, اسم الموديل, طراز السيارة, modellbezeichnung, "
        "handelsname, handelsbezeichnung, verkaufsbezeichnung, modelbezeichnung, type modele, "
        "modele auto, model vehicle, typemodele, model pojazdu, model samochodu, arac "
        "modeli, modello auto, modello veicolo, modelo coche, modelo carro, modelo vehiculo, "
        "modelo veiculo"
    ),
    "year": (
        "annee, an, annee modele, modele annee, annee fabrication, annee construction, annee "
        "production, annee immatriculation, annee circulation, annee mise circulation, annee "
        "premiere mise circulation, annee premiere immatriculation, annee 1ere circulation, "
        "annee 1ere immatriculation, annee mec, annee mise en service, millesime, annee 1ere "
        "mise circulation, annee achat, year, model year, make year, production year, "
        "manufacture year, manufacturing year, manufactured year, year manufacture, year "
        "manufactured, year production, build year, built, year built, registration year, "
        "registered year, reg year, year registration, first registration year, year first "
        "registration, year model, yr, my, prod year, vehicle year, purchase year, jahr, "
        "baujahr, modelljahr, zulassungsjahr, erstzulassungsjahr, herstellungsjahr, ano, anno, "
        "anio, السنة, سنة, سنة الصنع, سنة الموديل, سنة الإنتاج, سنة التصنيع, عام الصنع, العام, "
        "سنة أول تسجيل, موديل السنة, bouwjaar, ano modelo, ano fabricacao, ano fabricacion, mfg "
        "year, year mfg, anno immatricolazione, rok produkcji, rok, yil, model yili, an "
        "fabricatie, uretim yili, anul fabricatiei, anul, an productie, anul productiei, an "
        "fabricare, ano fabrico, ano matricula, ano matriculacion, ano registo, anno "
        "produzione, anno prima immatricolazione, rok modelowy, rocznik"
    ),
    "fuel": (
        "carburant, type carburant, energie, type energie, motorisation, source energie, "
        "libelle energie, lib energie, code energie, nature carburant, fuel, fuel type, fuel "
        "kind, fuel category, engine fuel, engine fuel type, engine type fuel, energy, energy "
        "type, propulsion, powertrain, kraftstoff, kraftstoffart, kraftstofftyp, treibstoff, "
        "antrieb, antriebsart, motorart, combustible, carburante, alimentazione, الوقود, وقود, "
        "نوع الوقود, المحروقات, نوع المحرك, نوع المحروقات, الطاقة, brandstof, brandstofsoort, "
        "combustivel, tipo combustible, tipo combustivel, tipo carburante, paliwo, rodzaj "
        "paliwa, yakit, yakit tipi, combustibil, bensin, carb, carbu, tip combustibil, typ "
        "paliwa, tipo alimentazione, yakit turu, soort brandstof, drivmedel, drivstoff"
    ),
    "transmission": (
        "boite, boite vitesse, type boite, type boite vitesse, bv, transmission, boite auto, "
        "type transmission, libelle boite, lib boite, code boite, boite v, bte vitesse, bte, "
        "gearbox, gearbox type, gear, gear box, gear type, gears type, gearshift, transmission "
        "type, transmission kind, getriebe, getriebeart, getriebetyp, schaltung, cambio, caja "
        "cambio, tipo cambio, transmision, ناقل الحركة, علبة السرعة, علبة السرعات, علبة, القير, "
        "القير نوع, نوع القير, ناقل السرعة, الجير, نوع ناقل الحركة, الفتيس, نوع علبة السرعات, "
        "transm, transmissie, versnellingsbak, transmissao, skrzynia biegow, vites, vites tipi, "
        "cutie viteze, boite vit, caixa, tipo caixa, caixa velocidade, caixa cambio, caixa "
        "mudanca, tipo transmissao, tipo transmision, trasmissione, tipo trasmissione, "
        "transmisie, tip transmisie, cutie, tip cutie viteze, tip cutie, schakeling, sanziman, "
        "sanziman tipi, vites turu, skrzynia, rodzaj skrzyni biegow, rodzaj skrzyni, type "
        "transmissie, vaxellada"
    ),
    "km_driven": (
        "kilometrage, km, kms, kilometre, klm, kilometrage compteur, compteur, compteur km, km "
        "compteur, nombre kilometre, nombre km, km parcouru, kilometre parcouru, kilometrage "
        "reel, kilometrage actuel, kilometrage affiche, releve compteur, kilometrage total, km "
        "driven, kms driven, kilometer, kilometer driven, driven km, driven kms, odometer, "
        "odometer reading, odometer value, odo, distance, distance driven, driven, total km, "
        "mileage km, mileage in km, km run, distance travelled, distance traveled, mileage from "
        "odometer, run, kilometerstand, laufleistung, tachostand, km stand, gefahrene "
        "kilometer, kilometraje, chilometraggio, chilometri, quilometragem, الكيلومترات, عدد "
        "الكيلومترات, المسافة, المسافة المقطوعة, العداد, عداد, كيلومترات, كم, المسافة المقطوعة "
        "كم, قراءة العداد, كيلومتر, ممشى, الممشى, الكيلومتراج, kilometros, quilometros, "
        "przebieg, last odometer, current odometer, odometer km, km totaux, km actuel, dernier "
        "releve, kilometrage au compteur, km au compteur, kilom, rulaj, rulaj km, kilometraj, "
        "kilometraz, tellerstand, km percorsi, chilometri percorsi, percorrenza, kilometros "
        "recorridos, quilometros percorridos, przebieg pojazdu, arac km, km sayaci"
    ),
    "edition": (
        "version, finition, libelle version, niveau finition, serie, trim, trim level, variant, "
        "edition, grade, sub model, submodel, derivative, ausstattung, ausstattungslinie, "
        "ausfuhrung, variante, allestimento, الفئة, النسخة, الإصدار, uitvoering, version "
        "commerciale, finition commerciale, trim name, acabado, wersja, wersja wyposazenia, "
        "versiune, versao, versione, versie, donanim, nivel equipare"
    ),
    "owner": (
        "main, premiere main, 1ere main, proprietaire, nombre main, nombre proprietaire, owner, "
        "owner type, owners, number owner, ownership, previous owner, no owner, owner count, "
        "vorbesitzer, anzahl vorbesitzer, fahrzeughalter, anzahl fahrzeughalter, عدد الملاك, "
        "المالك, اليد الأولى, first owner, first hand, 1st hand, one owner, first main, unico "
        "proprietario"
    ),
    "seller_type": (
        "vendeur, type vendeur, type annonceur, seller, seller type, sold by, dealer type, "
        "verkaufer, anbieter, verkaufertyp, anbietertyp, البائع, نوع البائع"
    ),
    "mileage_mpg": "mpg, fuel economy, fuel consumption mpg, combined mpg, mpg combined",
    "engine_cc": (
        "cylindree, cylindree moteur, volume moteur, engine, engine size, engine cc, cc, "
        "displacement, engine displacement, engine capacity, engine volume, cubic capacity, "
        "capacity cc, motor size, hubraum, cilindrada, cilindrata, السعة, سعة المحرك, حجم "
        "المحرك, cilinderinhoud, eng, motor, engine displ, displ, cylinder capacity, pojemnosc, "
        "cylindree cm3, motorinhoud, motor inhoud, inhoud motor, pojemnosc skokowa, "
        "pojemnosc silnika, motor hacmi, silindir hacmi, capacitate cilindrica, capacitate "
        "motor, cilindrada motor, cilindrata motore"
    ),
    "max_power_bhp": (
        "puissance reelle, puissance din, puissance ch, puissance moteur, puissance din ch, "
        "puissance maxi, puissance max, ch din, chevaux din, cheval vapeur, puissance "
        "dynamique, max power, bhp, horsepower, horse power, hp, engine power, engine hp, "
        "engine horsepower, power hp, max power bhp, leistung, motorleistung, potencia, "
        "potenza, قوة المحرك, القوة الحصانية, الأحصنة, vermogen, puissance chevaux, moc, max "
        "puissance, putere, putere motor, motor gucu, guc, moc silnika, motorvermogen, potencia "
        "motor, potencia maxima, potenza motore, potenza massima, puissance nette maximale, "
        "puissance nette, puissance nette max, puissance nette maxi"
    ),
    "torque_nm": (
        "couple, couple moteur, couple max, couple maxi, torque, max torque, engine torque, "
        "drehmoment, عزم الدوران"
    ),
    "fiscal_power_cv": (
        "puissance fiscale, chevaux fiscaux, cheval fiscal, cv fiscaux, cv fiscal, cvf, p "
        "fiscale, pf, puissance administrative, puiss fiscale, puissance fiscale cv, fiscal "
        "power, fiscal horsepower, tax horsepower, tax hp, القوة الجبائية, القوة الضريبية, "
        "القوة الجبائية للسيارة, puiss fisc, puissance fisc, potencia fiscal, potenza fiscale, "
        "cavalli fiscali, puissance administrative nationale"
    ),
    "city": (
        "ville, localite, ville vehicule, commune, emplacement, city, town, location, stadt, "
        "ort, ciudad, citta, المدينة, مدينة, الموقع, cidade, localidade, poblacion, plaats, "
        "woonplaats, miasto, miejscowosc, sehir, oras, localitate, comune"
    ),
    "condition": (
        "etat, etat general, condition, zustand, fahrzeugzustand, الحالة, حالة السيارة, حالة, "
        "conditie, vehicle condition, condition vehicle, staat, stan, stan techniczny, durum, "
        "arac durumu, stare, estado, stato, condizione, condicion"
    ),
    "origin": "origine, provenance, origin, origine vehicule, herkunft, الأصل, المصدر",
    "doors": (
        "porte, nombre porte, door, number door, door count, no door, num door, tur, turen, "
        "anzahl tur, anzahl turen, puerta, porta, الأبواب, عدد الأبواب, deuren, portas, "
        "puertas, nb porte, aantal deuren, numero porte, numero porta, n porta, n o porta, "
        "no porta, numero puerta, n puerta, n o puerta, numar usi, nr usi, usi, liczba drzwi, "
        "drzwi, kapi sayisi, kapi"
    ),
    "asking_price_mad": (
        "prix, prix demande, prix vente, prix ttc, prix vente ttc, prix affiche, prix public, "
        "prix annonce, montant, prix souhaite, tarif, pv, pv ttc, prix dh, prix mad, prix dhs, "
        "prix dirham, price, asking price, asking, selling price, sale price, sales price, ask "
        "price, list price, listing price, listed price, price mad, price dh, advertised price, "
        "retail price, amount, preis, verkaufspreis, kaufpreis, brutto preis, bruttopreis, "
        "angebotspreis, precio, prezzo, preco, الثمن, السعر, ثمن, سعر, سعر البيع, ثمن البيع, "
        "السعر المطلوب, الثمن المطلوب, vk brutto, vk preis, vk, vraagprijs, prijs, cena, fiyat, "
        "precio venta, preco venda, prix affiche ttc, prix annonce ttc, prix public ttc, prix "
        "actuel, current price, price amount, pret, pretul, satis fiyati, prezzo vendita, cena "
        "brutto"
    ),
}
"""Comma-separated names of the columns of each field."""

DATE_NAMES = (
    "date mise en circulation, mise en circulation, mise circulation, mise circ, date "
    "circulation, date mise circulation, date premiere mise circulation, date 1ere mise "
    "circulation, 1ere mise circulation, premiere mise circulation, date premiere "
    "circulation, mec, date mec, 1ere mec, date 1ere mec, premiere mec, dmc, d mec, date "
    "1ere immat, vehicle model date, date 1ere circulation, 1ere circulation, date premiere "
    "immatriculation, date 1ere immatriculation, premiere immatriculation, 1ere "
    "immatriculation, date immatriculation, immatriculation date, dpi, date mise service, "
    "first registration, first registration date, date first registration, registration "
    "date, date registration, reg date, date reg, first reg, manufacture date, production "
    "date, erstzulassung, ez, datum erstzulassung, zulassung, primera matriculacion, fecha "
    "matriculacion, immatricolazione, تاريخ أول تسجيل, تاريخ التسجيل, أول تسجيل, data "
    "pierwszej rejestracji, datum eerste toelating, eerste toelating, primeiro registo, "
    "primeiro registro, data matricula, data primeira matricula, data primei inmatriculari, "
    "prima inmatriculare, prima immatricolazione, data immatricolazione, data prima "
    "immatricolazione, fecha primera matriculacion, ilk tescil tarihi, tescil tarihi"
)
"""Names of columns with dates that contain the year; a column with the year alone is preferred."""

TITLE_NAMES = (
    "titre, titre annonce, nom, nom annonce, annonce, designation, libelle, intitule, vehicule, "
    "voiture, nom vehicule, description courte, libelle vehicule, denomination, modele complet, "
    "marque modele, marque et modele, marque modele version, nom complet, "
    "title, ad title, listing title, name, car name, vehicle name, full name, car, vehicle, "
    "make model, make and model, brand model, brand and model, car full name, headline, "
    "titel, bezeichnung, fahrzeug, fahrzeugbezeichnung, marke modell, marke und modell, "
    "titulo, nombre, titolo, "
    "العنوان, عنوان, عنوان الإعلان, اسم السيارة, السيارة, الاسم"
)
"""Names of columns that hold brand and model together."""

POWER_NAMES = (
    "puissance, power, cv, chevaux, cheval, puissance cv, puiss, power cv, cv puissance, القوة"
)
"""Names of columns of real or of fiscal power: the cells decide."""

KW_WORDS = frozenset({
    "leistung", "motorleistung", "nennleistung", "vermogen", "motorvermogen", "effekt",
    "motoreffekt", "teho", "vykon", "moc", "power kilowatt",
})  # fmt: skip
"""Words for real power where kW and horsepower are both usual: without a unit it is not read."""

MILEAGE_NAMES = "mileage, milage, vehicle mileage"
"""Names of columns of the odometer or of the fuel economy: the cells decide."""

CONSUMPTION_NAMES = (
    "consommation, consommation mixte, consommation moyenne, conso, consumption, fuel consumption, "
    "combined consumption, verbrauch, kraftstoffverbrauch, consumo, mileage, fuel efficiency"
)
"""Names of columns of the fuel economy if the header states the unit."""

CERTIFICATE_CODES = {
    "B": "date 1ere immatriculation", "D.1": "marque", "D.3": "denomination commerciale",
    "P.1": "cylindree", "P.2": "puissance kW", "P.3": "energie", "P.6": "puissance fiscale",
}  # fmt: skip
"""Names by the codes of European registration certificates, which state powers (P.2) in kW."""

OTHERS_WORDS = frozenset({
    "previous", "prev", "old", "former", "trade", "tradein", "owner", "seller", "dealer", "buyer",
    "client", "customer", "user", "vendeur", "acheteur", "proprietaire", "ancien", "reprise", "min",
    "max", "from", "to", "competitor", "similar",
})  # fmt: skip
"""First or last words of names that mean something else than the car of the row."""

UNIT_WORDS = frozenset({"unit", "unite", "einheit", "uom", "unidad", "unita", "وحده", "الوحده"})
"""Words in the names of columns that hold the unit of another column."""

CURRENCY_WORDS = frozenset(
    {"devise", "monnaie", "currency", "waehrung", "wahrung", "moneda", "valuta"}
)
"""Words in the names of columns that hold the currency of a column of prices."""

UNIT_REMARKS = frozenset(
    {"code", "text", "symbol", "symbole", "label", "name", "type", "measure", "mesure", "iso"}
)
"""Words beside them that say nothing of the other column."""

GENERIC_PARTS = frozenset({
    "name", "label", "text", "title", "type", "amount", "code", "raw", "display", "formatted",
    "value",
})  # fmt: skip
"""Members of an object whose name tells what they are: `make.name`."""

CURRENCY_NAMES = (
    "devise, monnaie, currency, price currency, waehrung, wahrung, moneda, valuta, العملة"
)
"""Names of columns that hold the currency of the prices."""

IGNORED_WORDS = frozenset({
    "a", "d", "de", "del", "der", "des", "di", "die", "do", "du", "en", "in", "l", "la", "le",
    "les", "of", "the", "vehicule", "vehicle", "voiture", "car", "veh", "vhl", "txt", "cd", "dt",
    "desc", "lbl", "lib", "libelle", "label", "value", "str", "somme", "moyenne", "sum", "average",
})  # fmt: skip
"""Words that do not change what a column means; a name of such words alone keeps them."""

WORD_FORMS = {
    "nb": "nombre", "nbr": "nombre", "nbre": "nombre", "num": "number", "premier": "premiere",
    "1er": "1ere", "1re": "1ere", "marques": "marque", "anne": "annee", "annees": "annee",
}  # fmt: skip
"""Usual abbreviations of words in names of columns."""
