"""Exports in Arabic."""

from tests.exports.formats.cars import MOROCCO, Export, pick, reading
from tests.exports.formats.writing import grouped, one_of, to_csv

COMPANIES = {
    "Dacia": "داسيا",
    "Peugeot": "بيجو",
    "Renault": "رونو",
    "Toyota": "تويوتا",
    "Mercedes-Benz": "مرسيدس",
    "Hyundai": "هيونداي",
    "Citroën": "سيتروين",
    "Fiat": "فيات",
    "Kia": "كيا",
    "Ford": "فورد",
    "Nissan": "نيسان",
    "Audi": "أودي",
    "Opel": "أوبل",
}
MODELS = {
    "Dacia Logan": "لوغان",
    "Dacia Duster": "داستر",
    "Renault Clio": "كليو",
    "Toyota Yaris": "ياريس",
    "Hyundai Tucson": "توسان",
    "Kia Sportage": "سبورتاج",
}
WORDS = {
    "Diesel": ("ديزل", "مازوت"),
    "Petrol": ("بنزين",),
    "Hybrid": ("هايبرد", "هجين"),
    "Electric": ("كهرباء", "كهربائية"),
    "Manual": ("يدوي", "يدوي عادي", "مانيوال"),
    "Automatic": ("أوتوماتيك", "اوتوماتيك"),
}
DIGITS = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


def open_market() -> Export:
    """Scrape of an Arabic marketplace.

    Arabic headers, brands and words; kilometres as a range; right-to-left marks.
    """
    rows, read = [], []
    for i, car in pick(MOROCCO, 0, 32):
        low = car.km // 10_000 * 10_000
        rows.append(
            (
                COMPANIES.get(car.company, car.company),
                MODELS.get(car.title, car.model),
                f"\u200f{car.year}",
                f"{grouped(low, ',')} - {grouped(low + 9_999, ',')}",
                one_of(WORDS[car.fuel], i),
                one_of(WORDS[car.gear], i),
                f"{grouped(car.price, ',')} درهم" if i % 4 else "السعر عند الاتصال",
                one_of(("الدار البيضاء", "الرباط", "فاس"), i),
            )
        )
        read.append(reading(car, km=low + 4_999.5))
    header = (
        "الماركة",
        "الموديل",
        "سنة الصنع",
        "عدد الكيلومترات",
        "نوع الوقود",
        "ناقل الحركة",
        "السعر",
        "المدينة",
    )
    return Export(
        name="open-market",
        file_name="سيارات للبيع.csv",
        media_type="text/csv",
        content=to_csv(header, rows, delimiter=";").encode("utf-8-sig"),
        rows=tuple(read),
    )


def arabic_digits() -> Export:
    """Excel's 'Unicode text' of an Arabic sheet.

    UTF-16 with tabs, Arabic-Indic digits and separators.
    """
    rows, read = [], []
    for i, car in pick(MOROCCO, 7, 30):
        changes: dict[str, object] = {}
        km = grouped(car.km, "٬").translate(DIGITS)
        if i == 9:
            km, changes["km"] = "غير محدد", None
        rows.append(
            (
                str(i + 1).translate(DIGITS),
                COMPANIES.get(car.company, car.company),
                MODELS.get(car.title, car.model),
                str(car.year).translate(DIGITS),
                one_of((km, f"{km} كم"), i),
                one_of(WORDS[car.fuel], i),
                one_of(WORDS[car.gear], i),
                f"{car.cc / 1000:.1f}".replace(".", "\u066b").translate(DIGITS) if car.cc else "",
                f"{grouped(car.price, '٬').translate(DIGITS)} درهم",
            )
        )
        read.append(reading(car, **changes))
    header = (
        "الرقم",
        "الشركة",
        "الطراز",
        "السنة",
        "المسافة المقطوعة",
        "الوقود",
        "علبة السرعات",
        "سعة المحرك",
        "الثمن",
    )
    return Export(
        name="arabic-digits",
        file_name="مخزون.txt",
        media_type="text/plain",
        content=to_csv(header, rows, delimiter="\t", line_end="\r\n").encode("utf-16"),
        rows=tuple(read),
    )


WRITERS = (open_market, arabic_digits)
