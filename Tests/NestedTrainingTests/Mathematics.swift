import Glibc

func expDouble(_ x: Double) -> Double { exp(x) }
func logDouble(_ x: Double) -> Double { log(x) }
func power(_ x: Double, _ y: Double) -> Double { pow(x, y) }
