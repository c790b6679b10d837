from pathlib import Path
import pytest
from tests.batch_parts import BulkPath, rows_of
from tests.conftest import Servers
@pytest.fixture
def path(tmp_path: Path, servers: Servers) -> BulkPath:
    return BulkPath(tmp_path, servers.broker)
def show(path, data, **o):
    from api.batches.detection_schemas import dump_input
    b=path.run(data if isinstance(data,bytes) else data.encode(), **o)
    print("----", data[:70])
    if b.refusal: print("REFUSED", b.refusal); return
    for n in dump_input(b,"en")["notices"]: print("  N", n["code"], n["detail"])
    for r in rows_of(path,b): print("  R", {k:r[k] for k in ("price_mad","read_as","row_notes","row_status","row_error") if r[k]})
def test_x(path):
    show(path, ";;;miles;\nMake;Model;Year;Odometer;Fuel\nSeat;Ibiza;2014;40000;Diesel\n")
    show(path, "Stock mars;;;miles;\nMake;Model;Year;Odometer;Fuel\nSeat;Ibiza;2014;40000;Diesel\n")
    show(path, ";;;;miles\nMake;Model;Year;Odometer;Fuel\nSeat;Ibiza;2014;40000;Diesel\n")
    show(path, "Distances in miles, prices in EUR\nMake;Model;Year;Odometer;Price\nSeat;Ibiza;2014;40000;9000\n")
    show(path, ";;;miles;EUR\nMake;Model;Year;Odometer;Price\nSeat;Ibiza;2014;40000;9000\n")
    show(path, ";;;miles;EUR\nMake;Model;Year;Kilométrage (km);Price\nSeat;Ibiza;2014;40000;9000\n")
    show(path, ";;;miles;kW\nMake;Model;Year;Reading;Leistung\nSeat;Ibiza;2014;40000;77\n", columns=(("km_driven","Reading"),))
    show(path, "Marque;Modèle;Année;Kilométrage;\n;;;km;miles\nSeat;Ibiza;2014;40000;\nSeat;Ibiza;2014;;40000\n")
    show(path, "Marque;Modèle;Année;km;miles\nSeat;Ibiza;2014;40000;\nSeat;Ibiza;2014;;40000\n")
    show(path, "Marque;Modèle;Année;km;Leistung\nSeat;Ibiza;2014;120,5;77\nSeat;Ibiza;2014;120000,5;77\n")
    show(path, "Marque;Modèle;Année;km\nSeat;Ibiza;2014;40000\n", constants=(("condition","Endommagé"),))
