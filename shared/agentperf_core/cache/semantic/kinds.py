"""Axes whose poles are the members of one kind: days, currencies, plans, places, drugs.

One axis per line, poles between bars, a line that ends with a bar goes on in the next.
"""

from __future__ import annotations

__all__ = ["KINDS"]

KINDS = """
monday mon | tuesday tue tues | wednesday wed | thursday thu thurs | friday fri | saturday sat |
sunday sun
weekday weekdays | weekend weekends
january jan | february feb | march | april apr | may | june jun | july jul | august aug |
september sept sep | october oct | november nov | december dec
spring | summer | autumn fall | winter
today todays tonight | yesterday | tomorrow
hourly | daily | weekly | biweekly fortnightly | monthly | quarterly | yearly annual annually
second seconds | minute minutes | hour hours | day days | week weeks | month months | quarter |
year years | decade | century
kilometer kilometre km | mile miles | meter metre | foot feet | inch inches | yard |
centimeter centimetre cm
kilogram kg kilo | pound lb lbs | gram | ounce oz | ton tonne stone
celsius centigrade | fahrenheit | kelvin
liter litre | gallon | milliliter | pint | cup
metric | imperial
gigabyte gb | megabyte mb | terabyte tb | kilobyte kb
usd dollar dollars | eur euro euros | gbp sterling pounds | jpy yen | inr rupee rupees |
chf franc | cny yuan rmb | aud | cad | mxn peso | krw won | rub ruble rouble | bitcoin btc |
ethereum eth | dogecoin doge | litecoin ltc
red | blue | green | yellow | orange | purple violet | pink | brown | black | white | gray grey |
gold golden | silver
free trial | basic starter lite | standard regular normal | plus | pro professional | premium |
enterprise | ultimate | platinum | gold | silver | bronze | metal | student | family | team
visa | mastercard | amex americanexpress | discover | maestro
paypal | venmo | zelle | stripe | applepay | googlepay | cash | cheque check
savings | checking current | brokerage | retirement | joint
roth | traditional
mortgage | loan | lease
android | ios iphone ipad | windows | mac macos macbook | linux ubuntu
chrome | firefox | safari | edge | opera
python | java | javascript js | typescript | ruby | php | golang | rust | kotlin | swift | scala |
perl | cobol | sql | html | css | matlab
mysql | postgres postgresql | sqlite | mongodb | redis | oracle
aws amazon | azure microsoft | gcp google
facebook | instagram | twitter | snapchat | whatsapp | tiktok | youtube | linkedin | reddit |
quora | pinterest | telegram
email mail | phone telephone call | sms text | chat | letter post | fax
apple | samsung | google | huawei | sony | nokia | xiaomi | oneplus | lg
english | french | german | spanish | italian | portuguese | dutch | russian | chinese mandarin |
cantonese | japanese | korean | hindi | arabic | turkish | polish | swedish | greek | hebrew |
latin | urdu | bengali | tamil | telugu | vietnamese | thai | ukrainian
usa us america american unitedstates | uk britain british unitedkingdom england | france french |
germany german | spain spanish | italy italian | portugal portuguese | netherlands dutch |
belgium belgian | switzerland swiss | austria austrian | australia australian | canada canadian |
mexico mexican | brazil brazilian | argentina | chile | colombia | india indian |
pakistan pakistani | bangladesh | china chinese | japan japanese | southkorea korean |
northkorea | russia russian | ukraine ukrainian | poland polish | sweden swedish |
norway norwegian | denmark danish | finland finnish | ireland irish | scotland scottish |
greece greek | turkey turkish | israel israeli | iran iranian | iraq iraqi | egypt egyptian |
nigeria nigerian | kenya kenyan | southafrica | saudiarabia saudi | dubai uae | singapore |
malaysia | indonesia | thailand thai | vietnam vietnamese | philippines filipino | newzealand |
romania | hungary | czech
europe european | asia asian | africa african | america | australia | antarctica | oceania
london | paris | berlin | madrid | rome | amsterdam | vienna | tokyo | beijing | shanghai |
delhi | mumbai | bangalore | sydney | melbourne | toronto | vancouver | moscow | istanbul |
dublin | lisbon | prague | chicago | boston | seattle | houston | miami | dallas | denver
north northern | south southern | east eastern | west western
left | right
sun | moon | mars | venus | jupiter | saturn | mercury | neptune | pluto | earth
breakfast | lunch | dinner supper
coffee | tea | beer | wine | milk | juice | water
beef | chicken | pork | fish | lamb | tofu | turkey
car | bus | train | plane flight | boat ship | bike bicycle | taxi cab | motorcycle
passport | visa | license licence
football soccer | basketball | baseball | tennis | cricket | hockey | golf | rugby
guitar | piano | violin | drums | flute
math mathematics | physics | chemistry | biology | history | geography
bachelor bachelors | master masters | phd doctorate
header | footer
king | queen | bishop | knight | rook | pawn
christian christianity | muslim islam | jewish judaism | hindu hinduism | buddhist buddhism
democrat democratic | republican
head | neck | shoulder | arm | elbow | wrist | hand | chest | stomach | hip | leg | knee | ankle |
foot | ear | eye | nose | throat
diabetes | cancer | asthma | depression | anxiety | migraine | arthritis | pneumonia | flu |
malaria
aspirin | ibuprofen | paracetamol acetaminophen tylenol | amoxicillin | insulin
revenue | profit | income | expense | cost | tax
asset | liability | equity
fee | limit | rate | balance
street | avenue | road
adapt | adopt
affect | effect
desert | dessert
county | country
month | mouth
morning | mourning
trail | trial
marital | martial
diary | dairy
angel | angle
immigrate immigration immigrant | emigrate emigration emigrant
house | horse | hose
word | world
price | prize | pride
brake | break
weather | whether
capital | capitol
loose | lose
quiet | quite
principal | principle
stationary | stationery
personal | personnel
moral | morale
"""
