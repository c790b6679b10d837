-- Cars as request bodies: each number gives one car, and no two numbers give the same car.

local VEHICLES = {
    {"Dacia", "Logan"}, {"Dacia", "Duster"}, {"Renault", "Clio"}, {"Renault", "Megane"},
    {"Peugeot", "208"}, {"Peugeot", "301"}, {"Volkswagen", "Golf"}, {"Hyundai", "Tucson"},
    {"Toyota", "Corolla"}, {"Ford", "Fiesta"}, {"Citroen", "C3"}, {"Kia", "Sportage"},
    {"Fiat", "Punto"},
}
local FUELS = {"Diesel", "Diesel", "Diesel", "Petrol"}
local GEARBOXES = {"Manual", "Manual", "Automatic"}
local FORMAT = '{"company":"%s","model":"%s","year":%d,"fuel":"%s","seller_type":"Individual",'
    .. '"transmission":"%s","km_driven":%d,"engine_cc":%d,"max_power_bhp":%d}'

-- No two cars of a run have both the same odometer and the same displacement.
local ODOMETERS = 100000

local Cars = {}

function Cars.body(n)
    local vehicle = VEHICLES[n % #VEHICLES + 1]
    return string.format(
        FORMAT, vehicle[1], vehicle[2], 2005 + n % 17, FUELS[n % #FUELS + 1],
        GEARBOXES[n % #GEARBOXES + 1], 10000 + n % ODOMETERS, 900 + math.floor(n / ODOMETERS),
        70 + n % 90)
end

return Cars
