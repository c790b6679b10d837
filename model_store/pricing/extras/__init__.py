"""What explains a price: comparable cars, depreciation, differences from the typical car."""
