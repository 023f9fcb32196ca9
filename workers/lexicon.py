"""Words of headlines that say the same, as tables: groups stand between bars and are named by their first word.

Written by hand for English headlines; words of other languages pass through unchanged.
"""

from __future__ import annotations

SILENT = """
    a an the of in on at to for from by with and or as is are was were be been being after into its it his her
    their that this these those has have had not but will would could should may might can amid out off about
    than more who which while s t i you we he she they him them our my your what how why when where if there so
    just all also live update updates video exclusive do does did during before against under between through
    across around via no yes himself herself itself own some any each every other another such only then now
    here too very up down over again ahead upon near new get gets got make makes made like vs latest breaking
    news today el la los las un una de del al y o en que por para se su es lo como mas sobre tras le les des
    du et ou dans qui sur pour par avec est une au aux ce sa der das und oder den dem ein eine einer im
    am zu mit von fur auf ist nach bei os um uma na nos nas em com mais dos e il gli di che della
"""
"""Words that every headline may have."""

PLACES = """
    us usa america american americans washington | uk britain british briton britons england english | eu
    european europe europeans brussels | afghanistan afghan afghans kabul | argentina argentine argentinian |
    australia australian aussie aussies sydney | austria austrian vienna | bahrain bahraini | bangladesh
    bangladeshi dhaka | belgium belgian | bosnia bosnian | brazil brazilian brazilians | bulgaria bulgarian |
    burma burmese myanmar | canada canadian canadians | chile chilean | china chinese beijing | colombia
    colombian | congo congolese drc | croatia croatian | cuba cuban cubans | cyprus cypriot | czech prague |
    denmark danish | egypt egyptian egyptians cairo | ethiopia ethiopian | finland finnish | france french paris
    | georgia georgian | germany german germans berlin | ghana ghanaian | greece greek greeks athens | haiti
    haitian | hungary hungarian | iceland icelandic | india indian indians delhi | indonesia indonesian jakarta
    | iran iranian iranians tehran | iraq iraqi iraqis baghdad | ireland irish dublin | israel israeli israelis
    | italy italian italians rome | japan japanese tokyo | jordan jordanian | kenya kenyan nairobi | kuwait
    kuwaiti | lebanon lebanese beirut | libya libyan libyans tripoli | malawi malawian | malaysia malaysian |
    mali malian | mexico mexican mexicans | morocco moroccan | nepal nepalese nepali | netherlands dutch holland
    | nigeria nigerian lagos | norway norwegian oslo | pakistan pakistani pakistanis karachi | palestine
    palestinian palestinians | gaza | peru peruvian | philippines philippine filipino manila | poland polish |
    portugal portuguese lisbon | qatar qatari doha | romania romanian | russia russian russians moscow kremlin |
    rwanda rwandan | saudi saudis riyadh | scotland scottish scots glasgow | senegal senegalese | serbia serbian
    serb | singapore singaporean | slovakia slovak | slovenia slovenian | somalia somali mogadishu | spain
    spanish madrid | sudan sudanese | sweden swedish stockholm | switzerland swiss zurich geneva | syria syrian
    syrians damascus | taiwan taiwanese taipei | thailand thai thais bangkok | tunisia tunisian tunis | turkey
    turkish ankara istanbul | uganda ugandan | ukraine ukrainian ukrainians kiev kyiv | venezuela venezuelan
    venezuelans caracas | vietnam vietnamese hanoi | yemen yemeni | zambia zambian | zimbabwe zimbabwean |
    nkorea pyongyang | skorea seoul | safrica | salvador salvadoran | dubai | uae emirati emirates | hongkong |
    crimea crimean | nyc | london | california | texas | florida | ohio | colorado | virginia | chicago | boston
"""
"""A land, those who live there and where its government sits."""

ALIKE = """
    kill die dies died dead death deaths kills killed killing killings slain slay slays murder murdered murders
    murdering dying fatal fatally toll perish perished | injure injured injures injuring wound wounded wounds
    hurt hurts injury injuries | quit quits resign resigns resigned resignation leave leaves left leaving exit
    exits retire retires retired retirement | retiring abdicate abdicates abdication depart departs ousted |
    arrest arrests arrested arresting detain detained detains held custody nab nabbed capture captured captures
    | police cops cop officer officers policeman policemen | pm premier | president presidential presidency |
    leader chief head boss ceo chairman chair | soldier soldiers troop troops army military | attack attacks
    attacked attacker attackers assault assaults raid raids airstrike airstrikes ambush | bomb bombs bombed
    bombing bombings bomber bombers blast blasts explosion explosions explode explodes exploded explosive |
    shoot shooting shot shootings gunman gunmen shooter gunfire shoots | rebel rebels insurgent insurgents
    militant militants fighter fighters | protest protests protester protesters protestor protestors
    demonstrators demonstrator demonstration demonstrations unrest riot riots | vote votes voted voting voters
    voter poll polls election elections electoral ballot ballots reelection | talk talks negotiation
    negotiations negotiate negotiators meeting meet meets met summit | deal agreement pact accord deals agree
    agrees agreed treaty truce ceasefire | win wins won victory winner winning triumph triumphs victorious |
    lose loses lost losing defeat defeated concede concedes | rise rises rose rising gain gains gained climb
    climbs jump jumps higher surge surges surged soar soars soared advance advances increase increases increased
    hike hikes boost boosts raise raises raised rally rallies rallied jumped climbed pump pumps | fall falls
    fell falling drop drops dropped decline declines declined lower slide slides slip slips plunge plunges
    plunged tumble tumbles decrease sink sinks dip dips losses slump slumps plummet plummets | announce
    announces announced unveil unveils unveiled reveal reveals revealed declare declares declared announcement |
    launch introduce introduces launches launched debut debuts | say says said tell tells told claim claims
    claimed report reports reported reportedly statement | hit hits struck strike strikes batter batters slam
    slams pound pounds wallop lash lashes rock rocks | find finds found discover discovers discovered discovery
    spotted | free frees freed release releases released releasing | jail jailed prison imprisoned jails |
    sentence sentenced sentences | trial court courts tribunal hearing | judge judges justice justices | law
    bill act legislation laws | start starts started begin begins began open opens opening underway kick onset |
    end ends ended stop stops stopped halt halts finish finishes ending | crash crashes crashed crashing collision
    collide collides colliding collided accident wreck mishap | storm hurricane typhoon cyclone | quake
    earthquake tremor | kid kids child children | woman women female | man men male | blaze fire fires wildfire
    | plane aircraft jet airplane planes airliner flight jets jetliner | ship boat ferry vessel | big large huge
    massive major giant enormous | oppose opposes | back backs support supports supported endorse endorses
    approve approves approved approval pass passes passed | reject rejects rejected deny denies denied dismiss
    dismisses dismissed refuse refuses refused | buy buys bought acquire acquires acquisition purchase purchases
    takeover acquired | sell sells sold sale selling | warn warns warned warning threaten threatens threat
    caution cautions threatened alert | want wants seek seeks sought ask asks asked urge urges urged call calls
    called demand demands demanded appeal appeals | condemn condemns condemned criticise criticizes criticism
    outrage condemnation criticized slammed | visit visits visiting visited tour tours trip | move moves shift
    shifts transfer transfers transferred | kidnap kidnapped kidnaps abduct abducted abducts hostage hostages
    abduction | flee flees fled escape escapes escaped survive survives survived | hospital hospitalised
    hospitalized hospitals | clash clashes fight fights battle battles fighting clashed violence | share shares
    stock stocks market markets | oil crude | ill sick illness | firm company firms companies corp inc | cut
    cuts slash slashes slashed reduce reduces | rule rules ruling ruled verdict | name names named pick picks
    choose chooses appoint appoints appointed nominate nominates elect elects elected select | sign signs signed
    | show shows see sees seen | return returns | gas fuel gasoline petrol | probe investigate investigates
    investigation inquiry probes | suspect suspects suspected | accuse accused charge charged charges indicted
    indicts accuses | nuclear atomic nuke | bailout rescue | aid help helps helped assistance | crisis turmoil |
    govt government gov cabinet regime administration | footage | wed weds wedding marry marries married
    marriage | baby babies infant | birth born | vow vows pledge pledges promise promises vowed pledged | weapon
    weapons arms | defence defense | labour labor | parliament mps lawmakers legislature senate congress |
    victim victims | aide spokesman spokesperson spokeswoman | film movie films movies | ambassador diplomat
    envoy | final last | killer murderer | search hunt searches manhunt searching | conduct hold holds | face
    faces facing | receive receives received | try attempt tries bid attempted | celebrate celebrates mark marks
    | remember remembered memorial | ban bans banned banning outlaw | fear fears feared worries worry concerns
    concern | send deploy deploys sends sent | continue continues | nearing nears close closes | hail hails
    praise praises praised welcomes welcome | admit admits confess confesses acknowledge | join joins joined |
    allow allows permit | deport expel expels deports | evacuate evacuated evacuates | historic landmark history
    | row dispute feud | hack hacking hackers hacked hacker exploit exploits exploited | sex sexual | rape raped
    rapes | racism racist | teen teenager teens teenage | lawyer attorney | worker workers employee employees
    staff | town city village | people residents citizens | fed fomc | bitcoin btc | ethereum eth ether | solana
    sol | ripple xrp | dogecoin doge | cardano ada | crypto cryptocurrency cryptocurrencies | million mln mn |
    billion bln | trillion tln | plan plans planned planning prepare prepares preparing ready intends intend |
    steal steals stole stolen theft thief thieves rob robs robbed robber robbers robbery heist loot looted |
    capsize capsizes capsized | mourn mourns mourned mourning tribute tributes | strengthen strengthens
    strengthened bolster bolsters | weaken weakens weakened | euro euros eurozone | casualty casualties |
    destroy destroys destroyed destruction | damage damages damaged | replace replaces replaced replacement
    succeed succeeds successor | lead leads led leading | delay delays delayed postpone postpones postponed
    postponement | cancel cancels cancelled canceled scrap scraps scrapped | resume resumes resumed restart
    restarts restarted relaunch relaunches relaunched reintroduced | fired sack sacks sacked dismissal | hire
    hires hired hiring recruit recruits | fine fined fines penalty penalties | fraud scam scams scammer scammers
    | sue sues sued lawsuit lawsuits litigation | settle settles settled settlement | guilty convict convicted
    convicts conviction | acquit acquitted acquits cleared | execute executed execution executions hanged hangs
    | border borders frontier | refugee refugees migrant migrants | aim aims targets target targeted targeting |
    block blocks blocked blocking | lift lifts lifted lifting | impose imposes imposed imposing | pay pays paid
    payment payments payout | debt debts loan loans | bank banks banking lender lenders | profit profits
    earnings revenue | job jobs employment | jobless unemployment | growth grow grows grew growing expand
    expands expanded expansion | record records | price prices | warship warships navy naval | missile missiles
    rocket rockets | base bases camp | drone drones uav | pilot pilots crew | driver drivers | passenger
    passengers | flood floods flooding flooded | snow snowstorm blizzard | drown drowns drowned | rescued
    rescues saved saves save | trap trapped traps | collapse collapses collapsed | derail derails derailed
    derailment | train trains rail railway railroad | bus coach buses | car cars vehicle vehicles automobile |
    home homes house houses | school schools | university college campus | church churches | mosque mosques |
    disease virus outbreak epidemic | vaccine vaccines vaccination jab | cancer tumour tumor | doctor doctors
    physician physicians | scientist scientists researcher researchers | study studies research survey | song
    songs single album | singer musician artist | actor actress star stars celebrity | award awards prize prizes
    | championship title champion champions | match game games matches | beat beats beaten thrash thrashes |
    mother mom mum | father dad | husband wife spouse | pregnant expecting | girl girls schoolgirl | boy boys
    schoolboy | elderly pensioner | respond responds response reaction reacts react reply | blame blames blamed
    | insist insists insisted | consider considers considering mull mulls mulled weigh weighs eye eyes | decide
    decides decided decision | discuss discusses discussed discussion debate debates | rival rivals opponent
    opponents | ally allies | foe enemy enemies | peace peaceful | war wars conflict conflicts warfare | terror
    terrorism terrorist terrorists | spy spies spying espionage surveillance | leak leaks leaked | scandal
    controversy | corruption graft bribery bribe bribes | reform reforms overhaul | tax taxes taxation levy |
    budget spending | spend spends spent | break breaks broke broken smash smashes | build builds built building
    construction | remove removes removed removal | chase chases pursuit | seize seizes seized seizure
    confiscate confiscated | wait waits awaits await | expect expects expected expectation | forecast forecasts
    predict predicts prediction predictions predicted outlook | suggest suggests hint hints | prove proves proof
    evidence | partner partners partnership collaborate collaboration teams | invest invests invested investment
    investments investor investors | fund funds funding fundraise | list lists listed listing | token tokens
    coin coins | wallet wallets address | regulator regulators regulatory regulation regulations watchdog |
    whale whales | holder holders | trader traders trading trade trades | exchange exchanges | etf etfs etp etps
    | inflow inflows | outflow outflows | liquidate liquidated liquidation liquidations | stablecoin stablecoins
    | mine mines miner miners mining | stake stakes staked staking | upgrade upgrades upgraded
"""
"""Words that headlines use for one another."""

NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty"""
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth"

PHRASES = (
    (r"\bU\.\s?S\.(?:\s?A\.?)?|\bUS(?!\$)(?=\W|$)|(?i:\bunited states\b)", " usa "),
    (r"\bU\.\s?K\.?|(?i:\bunited kingdom\b)", " uk "),
    (r"\bU\.\s?N\.?|(?i:\bunited nations\b)", " un "),
    (r"US\$", "$"),
    (r"(?i)\bprime minister(s?)\b", "pm"),
    (r"(?i)\b(?:step(?:s|ped|ping)? (?:down|aside)|stand(?:s|ing)? down)\b", "quits"),
    (r"(?i)\bgo(?:es)? to (?:the )?polls\b", "votes"),
    (r"(?i)\bn(?:\.|orth) ?korea(?:ns?)?\b", "nkorea"),
    (r"(?i)\bs(?:\.|outh) ?korea(?:ns?)?\b", "skorea"),
    (r"(?i)\bs(?:\.|outh) ?africa(?:ns?)?\b", "safrica"),
    (r"(?i)\bhong kong\b", "hongkong"),
    (r"(?i)\bnew york(?: city)?\b|\bNY\b", "nyc"),
    (r"(?i)\bhands? over\b", "transfers"),
    (r"(?i)\bdeath penalty\b", "execution"),
    (r"(?i)\bfederal reserve\b", "fed"),
    (r"(?i)\bset(?:s|ting)? (?:him|her|them)?sel(?:f|ves) (?:on fire|alight|afire)\b", "immolates"),
    (r"(?i)\bbail[- ]?outs?\b", "bailout"),
    (r"(?i)\bnew orleans\b", "nola"),
    (r"\bCalif\b\.?", "california"),
    (r"\bColo\b\.?", "colorado"),
    (r"\bFla\b\.?", "florida"),
    (r"\bTex\b\.?", "texas"),
    (r"(?i)\bre-(?=\w)", "re"),
    (r"(?i)\bair[- ]strikes?\b", "airstrike"),
    (r"(?i)\bpass(?:es|ed)? away\b", "dies"),
    (r"(?i)(?<=\d)\s?bn?\b|\bbn\b", " billion "),
    (r"(?i)(?<=\d)\s?m\b|(?<=\d)\s?mil\b\.?", " million "),
    (r"(?i)(?<![\d.])(\d+)\s?k\b", r"\g<1>000"),
    (r"(?i)(?<=\d)(?:st|nd|rd|th)\b", ""),
    (r"(?<=\d)\.0\b", ""),
    (r"(?i)\bper ?cent\b|\bpct\b|(?<=\d)pc\b|%", " percent "),
)
"""Written forms that become one word, in this order."""
